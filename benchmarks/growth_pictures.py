"""Pictures of how costs grow; the same numbers give the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by all kinds of colour vision.
_PALETTE = ("#0072b2", "#d55e00", "#009e73")
_MARKERS = "osD"
# Without dates, and with ids that do not change.
_STYLE = {"svg.hashsalt": "growth", "svg.fonttype": "path", "font.size": 9}


def draw(measured: dict[str, Any], folder: Path) -> None:
    """Write one SVG file for each panel.

    Args:
        measured: By name of the panel: `x` and `y`, the labels of the axes, and `lines`, points by label.
        folder: Where the files `growth-NAME.svg` go.
    """
    for name, panel in measured.items():
        with mpl.rc_context(_STYLE):
            figure = Figure(figsize=(5, 3.4), layout="constrained")
            _draw_panel(figure, panel, logarithmic=name != "branches")
            figure.savefig(folder / f"growth-{name}.svg", metadata={"Date": None, "Creator": None})


def _draw_panel(figure: Figure, panel: dict[str, Any], *, logarithmic: bool) -> None:
    axes = figure.add_subplot()
    for number, (label, points) in enumerate(panel["lines"].items()):
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, color=_PALETTE[number], marker=_MARKERS[number], label=label)
        if logarithmic:
            # In proportion to the last point: what lies above grows more slowly.
            straight = [ys[-1] * x / xs[-1] for x in xs]
            axes.plot(xs, straight, color=_PALETTE[number], linestyle=":", linewidth=1, alpha=0.6)
    if logarithmic:
        lowest = min(y for points in panel["lines"].values() for _, y in points)
        axes.set(xscale="log", yscale="log")
        axes.set_ylim(bottom=lowest / 2)
    else:
        axes.set_ylim(bottom=0)
    axes.set(xlabel=panel["x"], ylabel=panel["y"])
    axes.grid(alpha=0.3)
    axes.legend()
