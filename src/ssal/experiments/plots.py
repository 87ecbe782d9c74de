"""Line plots of an experiment's panels as one SVG file; the same numbers give the same bytes."""

from __future__ import annotations

import io
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ssal.experiments.plan import Cell
from ssal.experiments.results import RowResult, column
from ssal.experiments.shown import Panel
from ssal.experiments.spec import Experiment
from ssal.experiments.store import Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by all kinds of colour vision.
_PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = "osD^vP*"
# Millions, and minutes.
_UNITS = {"branches": 1.0, "parameters": 1e6, "flops": 1e6, "seconds": 60.0, "time": 1.0}
_COLUMNS = 3
# Lines of more points have no markers.
_MARKED = 15


@dataclass(frozen=True)
class Point:
    """A place on a line: mean over seeds, and their standard deviation where there are several."""

    x: float | str
    mean: float
    deviation: float | None = None


@dataclass(frozen=True)
class Line:
    """Points that are joined."""

    label: str
    points: tuple[Point, ...]


def _point(x: float | str, values: Sequence[float]) -> Point:
    return Point(x, statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def row_lines(name: str, panel: Panel, results: Sequence[RowResult]) -> list[Line]:
    """The lines through measured rows: those that name the panel in their own order, then those it names."""
    lines: dict[str, list[Point]] = {}
    by_label = {result.row.label: result for result in results}
    members = [(result.row.line, result) for result in results if result.row.panel == name]
    members += [(line, by_label.get(label)) for line, labels in panel.lines.items() for label in labels]
    for line, result in members:
        if line is not None and result is not None and (point := _row_point(panel, result)) is not None:
            lines.setdefault(line, []).append(point)
    return [Line(label, tuple(points)) for label, points in lines.items()]


def _row_point(panel: Panel, result: RowResult) -> Point | None:
    values, place = list(column(result, panel.value).values()), result.row.x
    if panel.measured is not None:
        measured = column(result, panel.measured).values()
        place = statistics.fmean(measured) / _UNITS[panel.measured] if measured else None
    return None if place is None or not values else _point(place, values)


def curve_lines(panel: Panel, cells: Sequence[Cell], store: Store) -> list[Line]:
    """The learning curves of a panel, each the mean over the seeds that are finished."""
    lines: list[Line] = []
    for curve in panel.curves:
        done = [cell for cell in cells if cell.name == curve.training and store.has_result(cell.digest)]
        runs = [store.read(cell.digest)["curve"] for cell in done]
        if runs:
            epochs = zip(*runs, strict=True)
            points = (_point(epoch[0]["epoch"], [row[curve.value] for row in epoch]) for epoch in epochs)
            lines.append(Line(curve.label, tuple(points)))
    return lines


def reliability_lines(panel: Panel, cells: Sequence[Cell], store: Store) -> list[Line]:
    """The reliability diagrams of a panel, the samples of all finished seeds together, in percent."""
    lines: list[Line] = []
    for shown in panel.reliability:
        done = [cell for cell in cells if cell.name == shown.training and store.has_result(cell.digest)]
        found = [store.read(cell.digest)["metrics"].get("calibration", {}).get(shown.way) for cell in done]
        diagrams = [ways["reliability"] for ways in found if ways is not None]
        points: list[Point] = []
        for bins in zip(*(_bins(diagram) for diagram in diagrams), strict=True):
            samples = sum(count for count, _, _ in bins)
            if samples:
                confidence = sum(count * sure for count, sure, _ in bins) / samples
                accuracy = sum(count * right for count, _, right in bins) / samples
                points.append(Point(100 * confidence, 100 * accuracy))
        if points:
            lines.append(Line(shown.label, tuple(points)))
    return lines


def _bins(diagram: Mapping[str, Sequence[float | None]]) -> list[tuple[float, float, float]]:
    """Count, confidence and accuracy of each bin, zeros where it is empty."""
    columns = (diagram["count"], diagram["confidence"], diagram["accuracy"])
    return [(count or 0, sure or 0, right or 0) for count, sure, right in zip(*columns, strict=True)]


def panel_lines(
    experiment: Experiment, results: Sequence[RowResult], cells: Sequence[Cell], store: Store
) -> dict[str, list[Line]]:
    """The lines of each panel; panels that have none yet are left out."""
    found = {
        name: row_lines(name, panel, results)
        + curve_lines(panel, cells, store)
        + reliability_lines(panel, cells, store)
        for name, panel in experiment.panels.items()
    }
    return {name: lines for name, lines in found.items() if lines}


def draw_panels(panels: Mapping[str, Panel], lines: Mapping[str, Sequence[Line]], title: str) -> bytes:
    """Draw panels side by side, in several rows if they are more than three.

    Args:
        panels: titles and axes, by name.
        lines: what to draw in each.
        title: title of the figure.

    Returns:
        An SVG file.
    """
    from matplotlib.figure import Figure

    shown = [name for name in panels if name in lines]
    columns, rows = min(_COLUMNS, len(shown)), -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(5.2 * columns, 4.0 * rows), facecolor="white", layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    for place, name in enumerate(shown):
        _draw(figure.add_subplot(rows, columns, place + 1), panels[name], lines[name])
    return as_svg(figure, title)


def line_style(number: int, *, marked: bool) -> dict[str, Any]:
    """How a line is drawn; those after the last colour are dashed, their markers hollow."""
    again, place = divmod(number, len(_PALETTE))
    return {
        "color": _PALETTE[place],
        "marker": _MARKERS[place] if marked else None,
        "markersize": 5,
        "linewidth": 1.4,
        "capsize": 2,
        "linestyle": "--" if again else "-",
        "fillstyle": "none" if again else "full",
    }


def _draw(axes: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    from matplotlib.ticker import MaxNLocator

    for number, line in enumerate(lines):
        x, means = [point.x for point in line.points], [point.mean for point in line.points]
        spread = [point.deviation or 0.0 for point in line.points]
        style = line_style(number, marked=len(line.points) <= _MARKED)
        axes.errorbar(x, means, spread, label=line.label, **style)
    if panel.reliability:
        axes.plot((0, 100), (0, 100), color="#9a9aa5", linewidth=0.8, linestyle="--", zorder=1)
    axes.set_title(panel.title, fontsize=10, parse_math=False)
    axes.set_xlabel(panel.x, fontsize=9, parse_math=False)
    axes.set_ylabel(panel.y, fontsize=9, parse_math=False)
    axes.tick_params(labelsize=8)
    places = [point.x for line in lines for point in line.points]
    if all(not isinstance(place, str) and float(place).is_integer() for place in places):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#e4e4ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def as_svg(figure: Figure, salt: str) -> bytes:
    """A figure as SVG, without date and with ids that depend on `salt` only."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
