"""A confusion matrix as a picture that light and dark pages can show, for any number of classes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssal.grouping import Grouping
from ssal.report.budget import data_uri

# More cells along a side are no longer told apart; several classes share one then.
_MOST_CELLS = 400
# Seen on white and on black alike.
_ERROR, _HIT = (217, 83, 45), (128, 128, 128)
# Entries of the palette: 0 is empty, then errors, then hits.
_ERRORS, _HITS = 150, 105
# A class that is taken for one other in a fifth of the cases gets the full colour.
_STRONG = 0.2


@dataclass(frozen=True)
class MatrixPicture:
    """A confusion matrix as a picture.

    Attributes:
        uri: PNG with one pixel per cell.
        side: cells along a side.
        blocks: outlines of the groups as an SVG path, in units of cells.
    """

    uri: str
    side: int
    blocks: str


def class_order(groupings: Sequence[Grouping], errors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order classes by their group in the coarsest grouping, and within it by the finer ones.

    Args:
        groupings: groupings of the same C classes.
        errors: [C] errors of each class; groups with more of them come first.

    Returns:
        Class ids [C] in the order of display.
    """
    keys: list[NDArray[np.int64]] = [np.arange(len(errors))]
    for grouping in reversed(coarsest_first(groupings)):
        sums = np.bincount(grouping.labels, weights=errors, minlength=grouping.num_groups)
        rank = np.empty(grouping.num_groups, dtype=np.int64)
        rank[np.argsort(-sums, kind="stable")] = np.arange(grouping.num_groups)
        keys.append(rank[grouping.labels])
    return np.lexsort(keys)


def coarsest_first(groupings: Sequence[Grouping]) -> list[Grouping]:
    """The groupings that group anything, fewest groups first."""
    useful = [grouping for grouping in groupings if grouping.num_groups < len(grouping.labels)]
    return sorted(useful, key=lambda grouping: grouping.num_groups)


def matrix_picture(
    answers: NDArray[np.int64],
    target: NDArray[np.int64],
    order: NDArray[np.int64],
    grouping: Grouping | None,
) -> MatrixPicture:
    """Draw the row-normalised confusion of some predictions.

    Args:
        answers: [N] predicted class ids.
        target: [N] true class ids.
        order: [C] class ids, first row first.
        grouping: whose groups are outlined; in `order` they are contiguous.
    """
    classes = len(order)
    block = -(-classes // _MOST_CELLS)
    side = -(-classes // block)
    place = np.empty(classes, dtype=np.int64)
    place[order] = np.arange(classes) // block
    # Pairs that occur only: there may be a hundred thousand classes.
    keys, counts = np.unique(target * classes + answers, return_counts=True)
    true, given = np.divmod(keys, classes)
    rates = counts / np.bincount(target, minlength=classes)[true]
    wrong = true != given
    errors, hits = np.zeros((side, side)), np.zeros((side, side))
    np.maximum.at(errors, (place[true[wrong]], place[given[wrong]]), rates[wrong])
    np.maximum.at(hits, (place[true[~wrong]], place[given[~wrong]]), rates[~wrong])
    blocks = "" if grouping is None else _outlines(grouping.labels[order], block)
    return MatrixPicture(data_uri(_png(errors, hits), "png"), side, blocks)


def _png(errors: NDArray[np.float64], hits: NDArray[np.float64]) -> bytes:
    """Errors in colour, elsewhere hits in grey, transparent where there is neither."""
    cells = np.where(hits > 0, 1 + _ERRORS + np.round((_HITS - 1) * hits), 0)
    cells = np.where(errors > 0, 1 + np.round((_ERRORS - 1) * np.sqrt(errors)), cells)
    rates = (np.arange(_ERRORS) / (_ERRORS - 1)) ** 2
    strength = np.minimum(1, (rates / _STRONG) ** 0.75)
    opacity = [0, *np.round(255 * (0.08 + 0.92 * strength)).astype(int).tolist()]
    opacity += np.round(110 * np.arange(_HITS) / (_HITS - 1)).astype(int).tolist()
    # Modes are told by the type: uint8 gives L, which becomes a palette of the same numbers.
    image = Image.fromarray(cells.astype(np.uint8))
    image.putpalette([0, 0, 0, *_ERROR * _ERRORS, *_HIT * _HITS])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=bytes(opacity))
    return buffer.getvalue()


def _outlines(labels: NDArray[np.int64], block: int) -> str:
    """Squares along the diagonal around runs of equal labels."""
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    ends = np.append(starts[1:], len(labels))
    squares = [(start / block, (end - start) / block) for start, end in zip(starts, ends, strict=True)]
    return "".join(f"M{start:g} {start:g}h{side:g}v{side:g}h-{side:g}z" for start, side in squares)
