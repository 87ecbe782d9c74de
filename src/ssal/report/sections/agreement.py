"""How often the answer is right when all, some or no branches agree with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from scipy.stats import binomtest

from ssal.metrics import error_detection_auroc
from ssal.report.charts import TEXT, new_chart
from ssal.report.numbers import decimals, whole
from ssal.report.predictions import Predictions
from ssal.report.reading import Record
from ssal.report.section import Chart, Section
from ssal.report.svg import inline_svg
from ssal.report.theme import colour


@dataclass(frozen=True)
class Level:
    """Test images on which so many branches agree with the answer; accuracy and its interval in percent."""

    agreeing: int
    images: int
    accuracy: float
    interval: tuple[float, float]


def levels(predictions: Predictions) -> list[Level]:
    """Accuracy of JP by the number of agreeing branches, with Wilson's 95 % intervals."""
    right = predictions.right("JP")
    found: list[Level] = []
    for agreeing in range(len(predictions.groups) + 1):
        chosen = right[predictions.agreement == agreeing]
        if not len(chosen):
            continue
        hits = int(chosen.sum())
        bounds = binomtest(hits, len(chosen)).proportion_ci(method="wilson")
        interval = (100 * float(bounds.low), 100 * float(bounds.high))
        found.append(Level(agreeing, len(chosen), 100 * hits / len(chosen), interval))
    return found


def _chart(found: list[Level]) -> Markup:
    figure, axes = new_chart(340, 58 + 32 * len(found))
    height = 58 + 32 * len(found)
    axes.set_position((34 / 340, 40 / height, 196 / 340, 1 - 48 / height))
    axes.grid(axis="x", color=colour("line"), linewidth=0.8)
    axes.grid(False, axis="y")
    axes.spines["bottom"].set_visible(False)
    for row, level in enumerate(found):
        axes.plot(level.interval, (row, row), color=colour("JP"), linewidth=2.2, solid_capstyle="round")
        axes.plot(level.accuracy, row, "o", color=colour("JP"), markersize=8)
        axes.annotate(
            f"{decimals(level.accuracy, 1)} % of {whole(level.images)}", (1, row), (8, 0), va="center",
            xycoords=axes.get_yaxis_transform(), textcoords="offset points",
            fontsize=TEXT, color=colour("ink"), annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(range(len(found)), [str(level.agreeing) for level in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(min(level.interval[0] for level in found) - 2, 101)
    axes.set_xlabel("accuracy of JP, %", fontsize=TEXT, color=colour("soft"), labelpad=3)
    spoken = "; ".join(
        f"{level.agreeing} agree: {decimals(level.accuracy, 1)} % of {level.images:,} right"
        for level in found
    )
    return inline_svg(figure, "agreement", f"Accuracy by number of agreeing branches. {spoken}")


def detection(predictions: Predictions) -> dict[str, float]:
    """AUROC with which the count of agreeing branches, and the probability, tell right from wrong; 0–1."""
    right = predictions.right("JP")
    if right.all() or not right.any():
        return {}
    scores = {"agreement": predictions.agreement, "probability": predictions.probabilities["JP"]}
    return {name: float(error_detection_auroc(np.asarray(score), right)) for name, score in scores.items()}


def agreement(record: Record) -> Section | None:
    """The section on agreement; None without predictions or branches."""
    predictions = record.predictions
    if predictions is None or not predictions.groups:
        return None
    found = levels(predictions)
    chart = Chart(
        "Accuracy by number of agreeing branches",
        _chart(found),
        "A branch agrees if the group that it predicts holds the answer. Lines are 95 % intervals.",
    )
    return Section(
        "agreement",
        "Do the branches agree?",
        "Agreement",
        {
            "levels": found,
            "chart": chart,
            "detection": detection(predictions),
            "branches": len(predictions.groups),
        },
    )
