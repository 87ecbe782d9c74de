"""Reliability diagrams: how many of the answers given with some probability are right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssal.report.charts import new_chart
from ssal.report.names import clipped
from ssal.report.numbers import decimals
from ssal.report.schema import Calibration, Reliability
from ssal.report.section import Chart
from ssal.report.svg import inline_svg
from ssal.report.theme import LIGHT, colour

_BINS = 15
# A bin of fewer images says nothing.
_FEWEST = 10
_TITLES = {"TR_scaled": "TR, with a temperature", "JP1": "JP, all exponents 1"}


def reliability(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> Reliability:
    """Mean probability and accuracy in bins of equal width of the probability of the answer.

    >>> bins = reliability(np.array([0.95, 0.99, 0.2]), np.array([True, False, False]))
    >>> bins.count[2], bins.count[-1], bins.accuracy[-1]
    (1.0, 2.0, 0.5)

    Args:
        probability: [N], 0 to 1.
        right: [N] whether the answer is right.
    """
    bins = np.clip(np.ceil(probability * _BINS).astype(int) - 1, 0, _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    sums = [np.bincount(bins, weights=values, minlength=_BINS) for values in (probability, right)]
    means = [np.divide(values, count, out=np.full(_BINS, np.nan), where=count > 0) for values in sums]
    confidence, accuracy = ([None if np.isnan(value) else float(value) for value in mean] for mean in means)
    return Reliability(count=[float(value) for value in count], confidence=confidence, accuracy=accuracy)


def reliability_chart(way: str, values: Calibration, number: int) -> Chart | None:
    """One small diagram; None without bins of enough images."""
    bins = values.reliability
    if bins is None:
        return None
    points = [
        (confidence, accuracy, count)
        for count, confidence, accuracy in zip(bins.count, bins.confidence, bins.accuracy, strict=False)
        if count >= _FEWEST and confidence is not None and accuracy is not None
    ]
    if not points:
        return None
    tone, total = colour(way) if way in LIGHT else colour("other"), sum(bins.count)
    figure, axes = new_chart(170, 160)
    axes.set_position((32 / 170, 26 / 160, 130 / 170, 126 / 160))
    axes.grid(color=colour("line"), linewidth=0.8)
    axes.plot((0, 1), (0, 1), color=colour("soft"), linewidth=1, linestyle=(0, (2, 2)))
    axes.plot([x for x, _, _ in points], [y for _, y, _ in points], color=tone, linewidth=1.2)
    for x, y, count in points:
        axes.plot(x, y, "o", color=tone, markersize=3 + 9 * (count / total) ** 0.5)
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(-0.04, 1.04)
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks((0, 0.5, 1), ("0", "50", "100"))
    axes.tick_params(labelsize=11, pad=3)
    title = clipped(_TITLES.get(way, way), 32)
    spoken = ", ".join(f"{100 * x:.0f} % sure, {100 * y:.0f} % right" for x, y, _ in points)
    figures = (("ECE", values.ece, 2), ("NLL", values.nll, 3), ("Brier", values.brier, 3))
    caption = ", ".join(
        f"{name} {decimals(value, digits)}" for name, value, digits in figures if value is not None
    )
    svg = inline_svg(figure, f"reliability-{number}", f"Reliability of {title}: {spoken}")
    return Chart(title, svg, caption)
