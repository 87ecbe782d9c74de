"""The refined method: starts, and the local search that fits the number of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ssal.confusion import Confusion
from ssal.confusion.matrix import class_count
from ssal.grouping.agglomerate import agglomerate, deal, pack
from ssal.grouping.greedy import greedy_groups
from ssal.grouping.objective import inside
from ssal.grouping.sparse_swaps import swap_neighbours
from ssal.grouping.swaps import swap_groups

# Up to here all pairs of classes are considered, in memory of C²; beyond, only pairs that are confused.
LARGEST_DENSE = 2_048
# Beyond, the greedy rule still is a start if it takes a second or so. Many groups take it longer, and there
# the agglomerative start is better by far.
_GREEDY_CLASSES, _GREEDY_GROUPS = 10_000, 100
# Iterated local search adds some per cent of J at 100 classes in a tenth of a second; at 1,000 it adds
# hardly anything and costs more.
_KICKED = 256
_KICKS, _KICKS_PER_CLASS = 200, 4
# Neighbours of a class that the merging, and beyond LARGEST_DENSE classes the search, are told of.
_NEIGHBOURS = 32


def refined_groups(
    similar: Confusion, num_groups: int, criterion: str, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Start from the better of the greedy and an agglomerative grouping, and swap until nothing gains.

    Args:
        similar: [C, C] similarity S/ΣS; dense up to LARGEST_DENSE classes.
        num_groups: k, from 2 to C/2.
        criterion: join gathers similarity inside groups, split removes it from there.
        generator: breaks ties and draws the perturbations.

    Returns:
        [C] group of each class, sizes within one of each other.
    """
    count = class_count(similar)
    neighbours = _strongest(similar) if isinstance(similar, np.ndarray) else similar
    searched = similar if count <= LARGEST_DENSE else neighbours
    affinity = searched if criterion == "join" else -searched
    starts: list[NDArray[np.int64]] = []
    if count <= LARGEST_DENSE or (count <= _GREEDY_CLASSES and num_groups <= _GREEDY_GROUPS):
        # Before anything else is drawn: so it is the very grouping of method "paper" with the same seed.
        starts.append(greedy_groups(affinity, num_groups, generator))
    starts.append(_merged(neighbours, num_groups, criterion, generator))
    best = max(starts, key=lambda labels: inside(affinity, labels))
    if not isinstance(affinity, np.ndarray):
        return swap_neighbours(neighbours, best, num_groups, criterion, generator)
    kicks = min(_KICKS, _KICKS_PER_CLASS * count) if count <= _KICKED else 0
    return swap_groups(affinity, best, num_groups, kicks, generator)


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
