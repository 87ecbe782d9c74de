"""From a confusion matrix to balanced groups of classes (§3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ssal.confusion import Confusion, check_confusion, similarity
from ssal.confusion.matrix import check_criterion, class_count, entries
from ssal.errors import InputError, unknown_name
from ssal.grouping.greedy import greedy_groups
from ssal.grouping.grouping import Grouping
from ssal.grouping.objective import inside_by_group
from ssal.grouping.refine import LARGEST_DENSE, refined_groups

METHODS = ("refined", "paper", "random", "identity")


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
        method: "refined": J improved by swaps, from the better of the paper's greedy result and an
            agglomerative one (`refine.py` says beyond which size the latter alone); "paper": the greedy rule
            of §3.1; "random": the control; "identity": each class its own group.
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
    if seed < 0:
        raise InputError(f"a seed must be 0 or more, not {seed}")
    checked = check_confusion(confusion)
    count = class_count(checked)
    groups = _check_num_groups(num_groups, count, method)
    if groups == count:
        return Grouping.identity(count, class_names)
    if method == "random":
        return Grouping.random(count, groups, seed, class_names)
    if not isinstance(checked, np.ndarray) and count <= LARGEST_DENSE:
        checked = np.asarray(checked.toarray(), dtype=np.float64)
    generator = np.random.default_rng(seed)
    # The same numbers in the same order, whatever the ids are: so the result follows a permutation of them
    # to the last bit.
    order = _canonical_order(similarity(checked), generator)
    similar = similarity(_reordered(checked, order))
    total = float(similar.sum())
    if total:
        similar = similar / total
    if method == "paper":
        found = greedy_groups(similar if criterion == "join" else -similar, groups, generator)
    else:
        found = refined_groups(similar, groups, criterion, generator)
    labels = np.empty(count, dtype=np.int64)
    labels[order] = _by_confusion(similar, found, groups)
    return Grouping.from_labels(labels, class_names)


def _check_num_groups(num_groups: int | str, count: int, method: str) -> int:
    allowed = f"2 to {count // 2} groups, or" if count >= 4 else "only"
    allowed += f" {count}, the classes themselves"
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
    total, spread = (np.round(np.asarray(matrix.sum(axis=1)), 12) for matrix in (similar, squared))
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
