"""The look of the charts: few lines, the name of a line at its end, one size for phones and desktops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ssal.report.theme import colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT = 12
_INCH = 72
_STYLES: dict[str, dict[str, Any]] = {
    "baseline": {"linewidth": 1.8, "linestyle": (0, (4, 2))},
    "TR": {"linewidth": 1.6},
    "JP": {"linewidth": 2.4},
    "LC": {"linewidth": 1.6, "linestyle": (0, (1.5, 1.5))},
}


class Line(NamedTuple):
    """A named line of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str


def new_chart(width: int = 340, height: int = 225, *, right: int = 62, left: int = 40) -> tuple[Figure, Axes]:
    """A figure with bare axes.

    Args:
        width: in pixels, as wide as a phone shows it.
        height: in pixels.
        right: room for the names of lines.
        left: room for the labels of the y axis.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _INCH, height / _INCH), dpi=_INCH)
    # A chart of a single bar is lower than the room for a title and labels, and places its axes itself.
    inner = max(1, height - 62)
    axes = figure.add_axes((left / width, 34 / height, 1 - (left + right) / width, inner / height))
    axes.spines[:].set_visible(False)
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color(colour("line"))
    axes.tick_params(length=0, labelsize=TEXT, colors=colour("soft"), pad=5)
    axes.grid(axis="y", color=colour("line"), linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Name the axes: x below, y above the axis, where it is read first."""
    style: dict[str, Any] = {"fontsize": TEXT, "color": colour("soft"), "parse_math": False}
    axes.set_xlabel(x, labelpad=3, loc="right", **style)
    axes.annotate(
        y, (0, 1), (0, -2), xycoords="figure fraction", textcoords="offset points", va="top", **style
    )


def style_of(name: str) -> dict[str, Any]:
    """How the line of a way of prediction is drawn."""
    return _STYLES.get(name, {"linewidth": 1.6})


def draw_lines(axes: Axes, lines: Sequence[Line]) -> None:
    """Draw lines; `name_ends` names them when the limits of the axes are known."""
    for line in lines:
        axes.plot(line.x, line.y, color=colour(line.colour), solid_capstyle="round", **style_of(line.colour))
        if len(line.x) < 3:
            axes.plot(line.x, line.y, "o", color=colour(line.colour), markersize=5)


def name_ends(axes: Axes, lines: Sequence[Line], at: int = -1) -> None:
    """Write the name of each line beside the axes, moved apart where they would touch.

    Args:
        axes: with their final limits.
        lines: the lines.
        at: which point of a line gives the height; the last, unless all lines end in one point.
    """
    shown = [line for line in lines if line.y and np.isfinite(line.y[at])]
    if not shown:
        return
    axes.autoscale_view()
    pixels = axes.bbox.height
    # Through the data transform: the scale may be logarithmic.
    ends = axes.transData.transform([(line.x[at], line.y[at]) for line in shown])
    heights = [float(height) for height in ends[:, 1] - axes.bbox.y0]
    for line, height in zip(shown, spread(heights, TEXT + 2), strict=True):
        axes.annotate(
            line.name,
            (1, height / pixels),
            xytext=(6, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            fontsize=TEXT,
            color=colour(line.colour),
            parse_math=False,
            annotation_clip=False,
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move heights apart to at least `gap`, keeping their order and, as well as can be, their places.

    >>> spread([10.0, 12.0, 40.0], 6)
    [8.0, 14.0, 40.0]
    """
    order = np.argsort(heights, kind="stable")
    groups: list[list[float]] = []  # wanted heights of names that touch each other
    for index in order:
        groups.append([heights[index]])
        while len(groups) > 1 and _top(groups[-2], gap) + gap > _bottom(groups[-1], gap):
            groups[-2:] = [groups[-2] + groups[-1]]
    places = [_bottom(group, gap) + gap * step for group in groups for step in range(len(group))]
    result = [0.0] * len(places)
    for index, place in zip(order, places, strict=True):
        result[index] = place
    return result


def _bottom(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) - gap * (len(group) - 1) / 2


def _top(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) + gap * (len(group) - 1) / 2


def thinned(values: Sequence[float], count: int = 160) -> list[int]:
    """Places of at most `count` values, the first and the last among them."""
    return np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)).tolist()
