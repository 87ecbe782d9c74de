"""The result table, what the differences are worth, and what each branch is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ssal.report.charts import TEXT, new_chart
from ssal.report.numbers import decimals, signed
from ssal.report.paired import Paired, compare_paired
from ssal.report.reading import Record
from ssal.report.section import Chart, Section
from ssal.report.svg import inline_svg
from ssal.report.theme import colour

DESCRIPTIONS = {
    "baseline": "the network, trained alone",
    "TR": "trained with branches, predicting without them",
    "JP": "joint probability of all parts",
    "LC": "learned linear combination of all parts",
}


@dataclass(frozen=True)
class Row:
    """A row of the result table."""

    way: str
    description: str
    top1: float | None
    top5: float | None
    nll: float | None
    ece: float | None
    detection: float | None
    params: float | None
    flops: float | None
    seconds: float | None


def result_rows(record: Record) -> list[Row]:
    """The result table; costs where they are known."""
    metrics = record.metrics
    return [
        Row(
            name,
            DESCRIPTIONS[name],
            way.top1,
            way.top5,
            way.nll,
            way.ece,
            metrics.error_detection.get(name),
            metrics.params.get(name),
            metrics.flops.get(name),
            metrics.seconds.get(name),
        )
        for name, way in metrics.ways.items()
    ]


def against_baseline(record: Record) -> dict[str, Paired]:
    """Each way of prediction against the baseline, on the same test samples."""
    predictions = record.predictions
    if predictions is None or "baseline" not in predictions.answers:
        return {}
    base = predictions.right("baseline")
    return {
        way: compare_paired(base, predictions.right(way)) for way in predictions.answers if way != "baseline"
    }


def difference_chart(differences: dict[str, Paired], name: str) -> Markup:
    """Differences of accuracy with their intervals, around zero."""
    height = 56 + 30 * len(differences)
    figure, axes = new_chart(340, height, right=62, left=62)
    axes.set_position((62 / 340, 38 / height, 216 / 340, 1 - 46 / height))
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.axvline(0, color=colour("soft"), linewidth=1, linestyle=(0, (2, 2)))
    for place, (way, paired) in enumerate(differences.items()):
        tone = colour(way if way in DESCRIPTIONS else "JP")
        axes.plot(paired.interval, (place, place), color=tone, linewidth=2.2, solid_capstyle="round")
        axes.plot(paired.difference, place, "o", color=tone, markersize=8)
        style: dict[str, Any] = {
            "xycoords": axes.get_yaxis_transform(),
            "textcoords": "offset points",
            "va": "center",
        }
        axes.annotate(
            signed(paired.difference), (1, place), (8, 0), color=colour("ink"), fontsize=12, **style
        )
        axes.annotate(
            way, (0, place), (-8, 0), color=tone, fontsize=12, ha="right", parse_math=False, **style
        )
    axes.set_yticks([])
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.margins(x=0.08)
    axes.set_xlabel("points of top-1", fontsize=TEXT, color=colour("soft"), labelpad=3)
    label = "; ".join(
        f"{way}: {signed(paired.difference)} points, 95 % interval {signed(paired.interval[0])} to "
        f"{signed(paired.interval[1])}"
        for way, paired in differences.items()
    )
    return inline_svg(figure, name, f"Difference of accuracy. {label}")


def results(record: Record) -> Section:
    """The section of results."""
    differences = against_baseline(record)
    chart = None
    if differences:
        chart = Chart(
            "Difference to the baseline",
            difference_chart(differences, "differences"),
            "On the same test images; lines are 95 % intervals over the images. An interval that holds zero "
            "could be chance. Another seed moves all rows, which one run cannot show.",
        )
    return Section(
        "results",
        "Results",
        "Results",
        {
            "rows": result_rows(record),
            "chart": chart,
            "branches": list(zip(record.branch_names, record.metrics.branches, strict=False)),
            "layouts": [branch.layout for branch in record.model.branches] if record.model else [],
            "main_exponent": decimals(record.metrics.main_exponent, 3),
            "samples": len(record.predictions) if record.predictions else None,
        },
    )
