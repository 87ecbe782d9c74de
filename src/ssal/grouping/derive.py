"""From a confusion matrix to balanced groups of classes (METHOD.md §2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ssal.confusion import Confusion, similarity
from ssal.confusion.matrix import check_criterion, class_count, entries
from ssal.errors import InputError, unknown_name
from ssal.grouping.agglomerate import agglomerate, deal, pack
from ssal.grouping.greedy import greedy_groups
from ssal.grouping.grouping import Grouping
from ssal.grouping.objective import inside, inside_by_group
from ssal.grouping.sparse_swaps import swap_neighbours
from ssal.grouping.swaps import swap_groups

METHODS = ("refined", "paper", "random", "identity")

# Up to here all pairs of classes are considered in memory of C²; beyond, only pairs that are confused.
_DENSE = 2_048
# Iterated local search adds up to some per cent of J at 100 classes in a tenth of a second, and hardly
# anything at 1,000, where it costs more.
_KICKED = 256
_KICKS = 200
# Neighbours of a class that the merging, and beyond _DENSE classes the search, are told of.
_NEIGHBOURS = 32


def group_classes(
    confusion: object,
    num_groups: int | str,
    *,
    criterion: str = "join",
    method: str = "refined",
    seed: int = 0,
    class_names: Sequence[str] | None = None,
) -> Grouping:
    """Derive a grouping of the classes from how they are confused; sizes differ by at most one.

    The result is the same for the same seed. If class ids are permuted, the grouping is permuted with them,
    as far as the confusion itself tells the classes apart. Groups are numbered by the confusion inside them,
    largest first.

    Args:
        confusion: [C, C] counts, or soft confusion; rows = true class; dense, or scipy sparse for large C.
        num_groups: k, 2 ≤ k ≤ C/2; or C, or "all", for the identity grouping.
        criterion: "join" puts similar classes together, "split" keeps them apart.
        method: "refined": the objective J improved by swaps, from the better of the paper's greedy result and
            an agglomerative one (the latter alone beyond 2,048 classes); "paper": the greedy rule of §3.1;
            "random": the control; "identity": each class its own group.
        seed: breaks ties, and draws the random grouping.
        class_names: names of the C classes, kept in the grouping.

    Raises:
        InputError: the criterion or method is unknown, k is outside its range, or names are not C.
        DataError: the matrix is not square, or an entry is negative or not finite.

    >>> confusion = [[8, 0, 2, 0], [0, 9, 0, 1], [3, 0, 7, 0], [0, 2, 0, 8]]
    >>> group_classes(confusion, 2).labels
    array([0, 1, 0, 1])
    >>> group_classes(confusion, 2, criterion="split").share(confusion)
    0.0
    """
    check_criterion(criterion)
    if method not in METHODS:
        raise unknown_name("method", str(method), METHODS)
    similar = similarity(confusion)
    count = class_count(similar)
    groups = _check_num_groups(num_groups, count, method)
    if groups == count:
        return Grouping.identity(count, class_names)
    if method == "random":
        return Grouping.random(count, groups, seed, class_names)
    total = float(similar.sum())
    similar = similar / total if total else similar
    generator = np.random.default_rng(seed)
    # Computing in an order that does not depend on the ids makes the result follow a permutation of them.
    order = _canonical_order(similar, generator)
    ordered = _reordered(similar, order)
    labels = np.empty(count, dtype=np.int64)
    labels[order] = _by_confusion(ordered, _solve(ordered, groups, criterion, method, generator), groups)
    return Grouping.from_labels(labels, class_names)


def _check_num_groups(num_groups: int | str, count: int, method: str) -> int:
    allowed = f"2 to {count // 2} groups, or 'all'" if count >= 4 else "'all' only"
    if num_groups == "all":
        return count
    if isinstance(num_groups, bool) or not isinstance(num_groups, (int, np.integer)):
        raise InputError(f"num_groups is {num_groups!r}, but {count} classes allow {allowed}")
    if num_groups != count and method == "identity":
        raise InputError(f"method 'identity' makes {count} groups of {count} classes, not {num_groups}")
    if num_groups != count and not 2 <= num_groups <= count // 2:
        raise InputError(f"{num_groups} groups asked for, but {count} classes allow {allowed}")
    return int(num_groups)


def _canonical_order(similar: Confusion, generator: np.random.Generator) -> NDArray[np.int64]:
    """Order the classes by what is known of them, then shuffle: ids are used for exact ties only."""
    squared = similar**2 if isinstance(similar, np.ndarray) else similar.power(2)
    # Rounded, since the order of summation depends on the ids.
    total, spread = (np.round(np.asarray(matrix.sum(axis=1)), 14) for matrix in (similar, squared))
    return np.lexsort((generator.random(total.size), spread, total))[generator.permutation(total.size)]


def _reordered(matrix: Confusion, order: NDArray[np.int64]) -> Confusion:
    if isinstance(matrix, np.ndarray):
        return matrix[np.ix_(order, order)]
    rows, columns, values = entries(matrix)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    moved = sparse.csr_array((values, (place[rows], place[columns])), shape=(order.size, order.size))
    moved.sort_indices()
    return moved


def _by_confusion(similar: Confusion, labels: NDArray[np.int64], num_groups: int) -> NDArray[np.int64]:
    """Number the groups by the confusion inside them, largest first."""
    rank = np.empty(num_groups, dtype=np.int64)
    rank[np.argsort(-inside_by_group(similar, labels, num_groups), kind="stable")] = np.arange(num_groups)
    return rank[labels]


def _solve(
    similar: Confusion, num_groups: int, criterion: str, method: str, generator: np.random.Generator
) -> NDArray[np.int64]:
    count = class_count(similar)
    if method == "paper":
        return greedy_groups(similar if criterion == "join" else -similar, num_groups, generator)
    neighbours = _strongest(similar) if isinstance(similar, np.ndarray) else similar
    if count > _DENSE:
        start = _merged(neighbours, num_groups, criterion, generator)
        return swap_neighbours(neighbours, start, num_groups, criterion, generator)
    dense = similar if isinstance(similar, np.ndarray) else np.asarray(similar.toarray(), dtype=np.float64)
    affinity = dense if criterion == "join" else -dense
    starts = (
        greedy_groups(affinity, num_groups, generator),
        _merged(neighbours, num_groups, criterion, generator),
    )
    best = max(starts, key=lambda labels: inside(affinity, labels))
    return swap_groups(affinity, best, num_groups, _KICKS if count <= _KICKED else 0, generator)


def _merged(
    neighbours: sparse.csr_array, num_groups: int, criterion: str, generator: np.random.Generator
) -> NDArray[np.int64]:
    """A balanced start from merging: clusters become groups, or for split are dealt out to all groups."""
    if criterion == "split":
        return deal(agglomerate(neighbours, num_groups, generator)[-1], num_groups)
    # Aiming at ⌈C/k⌉ leaves little to gain, and much to cut off, where fewer than a tenth may be that large.
    largest = (class_count(neighbours) + num_groups * 9 // 10) // num_groups
    return pack(neighbours, agglomerate(neighbours, largest, generator), num_groups)


def _strongest(similar: NDArray[np.float64]) -> sparse.csr_array:
    """Keep an entry that is among the largest of its row or of its column."""
    count = len(similar)
    if np.count_nonzero(similar) <= 2 * _NEIGHBOURS * count:
        return sparse.csr_array(similar)
    # Of the negative: numpy's selection is slow where most values are the smallest.
    weakest = -np.partition(-similar, _NEIGHBOURS - 1, axis=1)[:, _NEIGHBOURS - 1]
    rows, columns = np.nonzero((similar >= weakest[:, None]) & (similar > 0))
    keep = sparse.csr_array((np.ones(rows.size, dtype=np.bool_), (rows, columns)), shape=(count, count))
    rows, columns = sparse.csr_array(keep + keep.T).nonzero()
    return sparse.csr_array((similar[rows, columns], (rows, columns)), shape=(count, count))
