"""How the training went: curves per epoch, and where the time went."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssal.report.charts import TEXT, Line, draw_lines, label_axes, name_ends, new_chart
from ssal.report.names import clipped
from ssal.report.numbers import decimals, duration
from ssal.report.reading import Record
from ssal.report.section import Chart, Section
from ssal.report.svg import inline_svg
from ssal.report.theme import SERIES, colour

_STAGES = {
    "baseline": "baseline",
    "confusion": "confusion",
    "grouping": "groups",
    "joint": "joint training",
    "exponents": "exponents",
    "linear_combination": "linear comb.",
    "selector": "thresholds",
    "test": "test",
}

_TWICE = " Groups need the baseline first, so that TR, JP and LC cost two trainings."
_CONTROL = " The baseline is a control: TR, JP and LC cost one training."


def series(epochs: list[dict[str, Any]], stage: str, column: str) -> tuple[list[float], list[float]]:
    """Epochs and values of a column of one stage, where it has any."""
    rows = [row for row in epochs if row.get("stage") == stage and row.get(column) is not None]
    return [row["epoch"] for row in rows], [row[column] for row in rows]


def epoch_chart(
    lines: list[Line], name: str, y: str, label: str, *, logarithmic: bool = False
) -> Chart | None:
    """Lines over epochs; None if there is nothing to draw."""
    from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

    lines = [line for line in lines if line.x]
    if not lines:
        return None
    figure, axes = new_chart()
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        low, high = (function([value for line in lines for value in line.y]) for function in (min, max))
        axes.set_yticks(
            [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= tick <= high]
        )
        axes.set_yticks([], minor=True)
    draw_lines(axes, lines)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    label_axes(axes, "epoch", y)
    name_ends(axes, lines)
    ends = ", ".join(f"{line.name} {decimals(line.y[-1])}" for line in lines)
    return Chart(label, inline_svg(figure, name, f"{label} per epoch; at the end: {ends}"))


def time_chart(stages: dict[str, float], of_baseline: str) -> Chart | None:
    """Seconds of each stage as bars; `of_baseline` is said of a baseline, if there was one."""
    parts = [(label, stages[name]) for name, label in _STAGES.items() if stages.get(name, 0) > 0]
    if not parts:
        return None
    height = 22 + 26 * len(parts)
    figure, axes = new_chart(340, height, right=70, left=96)
    axes.set_position((96 / 340, 0.02, 174 / 340, 0.94))
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    rows = np.arange(len(parts))
    axes.barh(rows, [seconds for _, seconds in parts], height=0.55, color=colour("JP"))
    axes.set_yticks(rows, [label for label, _ in parts])
    axes.set_xticks([])
    axes.invert_yaxis()
    for row, (_, seconds) in enumerate(parts):
        axes.annotate(
            duration(seconds), (seconds, row), (6, 0), textcoords="offset points", va="center",
            fontsize=TEXT, color=colour("ink"), annotation_clip=False,
        )  # fmt: skip
    of_baseline = of_baseline if stages.get("baseline") else ""
    spoken = ", ".join(f"{label} {duration(seconds)}" for label, seconds in parts)
    return Chart(
        "Where the time went", inline_svg(figure, "time", f"Seconds of each stage: {spoken}"),
        f"{duration(sum(seconds for _, seconds in parts))} in all.{of_baseline}",
    )  # fmt: skip


def training(record: Record) -> Section | None:
    """The section on the training; None if there is nothing to show."""
    epochs = record.epochs
    accuracy = [
        Line("baseline", *series(epochs, "baseline", "val_top1"), "baseline"),
        Line("TR", *series(epochs, "joint", "val_top1"), "TR"),
        Line("JP", *series(epochs, "joint", "val_top1_joint"), "JP"),
    ]
    loss = [
        Line("baseline", *series(epochs, "baseline", "val_loss"), "baseline"),
        Line("TR", *series(epochs, "joint", "val_loss"), "TR"),
    ]
    branches = [
        Line(clipped(name, 24), *series(epochs, "joint", f"val_top1_branch{number}"), tone)
        for number, (name, tone) in enumerate(
            zip(record.branch_names, SERIES * len(record.branch_names), strict=False), start=1
        )
    ]
    charts = [
        epoch_chart(accuracy, "accuracy", "top-1, %", "Held-out accuracy"),
        epoch_chart(loss, "loss", "NLL, log scale", "Held-out loss", logarithmic=True),
        epoch_chart(branches, "branch-accuracy", "groups right, %", "Held-out accuracy of the branches"),
        time_chart(record.metrics.stages, _TWICE if record.groups_of_baseline else _CONTROL),
    ]
    shown = [chart for chart in charts if chart is not None]
    return Section("training", "Training", "Training", {"charts": shown}) if shown else None
