"""Which classes are taken for each other, before and after: pictures, and the pairs that count most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ssal.grouping import Grouping
from ssal.report.matrix import MatrixPicture, class_order, coarsest_first, matrix_picture
from ssal.report.names import class_name, clipped
from ssal.report.predictions import Predictions
from ssal.report.reading import Record
from ssal.report.section import Section

_LABELLED = 12
_PAIRS = 12
_WAYS = ("baseline", "JP")


@dataclass(frozen=True)
class Pair:
    """A class that was taken for another: how often, and the taps of the branches that join the two."""

    true: Markup
    given: Markup
    counts: tuple[int, ...]
    together: str


@dataclass(frozen=True)
class Matrix:
    """The confusion of one way of prediction: a picture, or counts [C][C] where there are few classes."""

    way: str
    errors: int
    label: str
    picture: MatrixPicture | None
    counts: list[list[int]] | None


@dataclass(frozen=True)
class Inside:
    """Share of the errors that stay inside the groups of a branch, in percent; and of random groups."""

    tap: str
    num_groups: int
    shares: tuple[float, ...]
    chance: float


def confused_pairs(
    predictions: Predictions,
    ways: Sequence[str],
    groupings: Sequence[tuple[str, Grouping]],
    names: Sequence[str],
) -> list[Pair]:
    """The pairs of classes that the first way confuses most, with the counts of all ways."""
    classes = len(names)
    counted: list[dict[int, int]] = []
    for way in ways:
        wrong = ~predictions.right(way)
        keys = predictions.target[wrong] * classes + predictions.answers[way][wrong]
        unique, counts = np.unique(keys, return_counts=True)
        counted.append(dict(zip(unique.tolist(), counts.tolist(), strict=True)))
    first = sorted(counted[0].items(), key=lambda item: (-item[1], item[0]))[:_PAIRS]
    pairs: list[Pair] = []
    for key, _ in first:
        true, given = divmod(key, classes)
        pairs.append(
            Pair(
                class_name(names[true], 32),
                class_name(names[given], 32),
                tuple(counts.get(key, 0) for counts in counted),
                _joined(groupings, true, given),
            )
        )
    return pairs


def _joined(groupings: Sequence[tuple[str, Grouping]], true: int, given: int) -> str:
    """The taps of the branches that have both classes in one group."""
    taps = [tap for tap, grouping in groupings if grouping.labels[true] == grouping.labels[given]]
    if len(taps) == len(groupings) > 1:
        return "both branches" if len(taps) == 2 else f"all {len(taps)} branches"
    return ", ".join(taps) or "none"


def chance_share(grouping: Grouping) -> float:
    """Share of the pairs of classes that groups of these sizes hold, 0–1: J of random groups, on average.

    >>> chance_share(Grouping.from_labels([0, 0, 1, 1]))
    0.333...
    """
    sizes, classes = grouping.sizes, len(grouping.labels)
    return float((sizes * (sizes - 1)).sum() / (classes * (classes - 1)))


def _inside(predictions: Predictions, way: str, labels: NDArray[np.int64]) -> float:
    wrong = ~predictions.right(way)
    if not wrong.any():
        return 0.0
    return 100 * float((labels[predictions.target] == labels[predictions.answers[way]])[wrong].mean())


def _matrix(
    predictions: Predictions, way: str, order: NDArray[np.int64], groupings: Sequence[Grouping]
) -> Matrix:
    answers, target = predictions.answers[way], predictions.target
    errors = int((answers != target).sum())
    label = f"Confusion matrix of {way}: {errors:,} errors in {len(target):,} test images."
    if len(order) <= _LABELLED:
        counts = np.zeros((len(order), len(order)), dtype=np.int64)
        np.add.at(counts, (target, answers), 1)
        return Matrix(way, errors, label, None, counts[np.ix_(order, order)].tolist())
    coarse = coarsest_first(groupings)
    return Matrix(
        way, errors, label, matrix_picture(answers, target, order, coarse[0] if coarse else None), None
    )


def confusion(record: Record) -> Section | None:
    """The section on confusion; None without predictions."""
    predictions, names = record.predictions, record.class_names
    if predictions is None:
        return None
    ways = [way for way in _WAYS if way in predictions.answers]
    useful = [
        (clipped(name, 24), grouping)
        for name, grouping in zip(record.branch_names, record.groupings, strict=False)
        if grouping.num_groups < len(names)
    ]
    errors = np.bincount(predictions.target[~predictions.right(ways[0])], minlength=len(names))
    groupings = [grouping for _, grouping in useful]
    order = class_order(groupings, errors)
    coarse = coarsest_first(groupings)
    return Section(
        "confusion",
        "Which classes are taken for each other",
        "Confusion",
        {
            "matrices": [_matrix(predictions, way, order, groupings) for way in ways],
            "labels": [clipped(names[index], 10) for index in order] if len(names) <= _LABELLED else [],
            "outlined": coarse[0].num_groups if coarse else 0,
            "ways": ways,
            "pairs": confused_pairs(predictions, ways, useful, names),
            "inside": [
                Inside(
                    tap,
                    grouping.num_groups,
                    tuple(_inside(predictions, way, grouping.labels) for way in ways),
                    100 * chance_share(grouping),
                )
                for tap, grouping in useful
            ],
            "classes": len(names),
        },
    )
