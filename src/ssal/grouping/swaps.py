"""Local search for up to some thousand classes: swap pairs of classes between groups while J gets better."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# Gains are measured against a total of 1, so this is rounding error and nothing else.
_EPSILON = 1e-12
# Rows of gains computed in one go: [64, C] float64 stays in the cache.
_ROWS = 64
# A kick shuffles this many related groups, or this many of their classes where groups are large.
_KICKED_GROUPS = 3
_KICKED_CLASSES = 24


@dataclass
class Search:
    """A grouping under way.

    Attributes:
        affinity: [n, n] symmetric, diagonal 0; its sum inside groups is maximised.
        labels: [n] group of each class.
        to_group: [k, n] affinity of each class to each group.
    """

    affinity: NDArray[np.float64]
    labels: NDArray[np.int64]
    to_group: NDArray[np.float64]

    @classmethod
    def start(cls, affinity: NDArray[np.float64], labels: NDArray[np.int64], num_groups: int) -> Search:
        """Begin at a grouping."""
        classes = np.arange(labels.size)
        member = sparse.csr_array((np.ones(labels.size), (labels, classes)), shape=(num_groups, labels.size))
        return cls(affinity, labels.copy(), np.asarray(member @ affinity))

    def copy(self) -> Search:
        """A search that goes its own way from here."""
        return Search(self.affinity, self.labels.copy(), self.to_group.copy())

    def value(self) -> float:
        """Affinity inside groups, from the running sums."""
        return float(self.to_group[self.labels, np.arange(self.labels.size)].sum())

    def gain(self, first: int, second: int) -> float:
        """Half of what `value` gains if two classes swap groups."""
        here, there = self.labels[first], self.labels[second]
        if here == there:
            return 0.0
        to_group = self.to_group
        change = (
            to_group[there, first] - to_group[here, first] + to_group[here, second] - to_group[there, second]
        )
        return float(change - 2 * self.affinity[first, second])

    def swap(self, first: int, second: int) -> None:
        """Swap the groups of two classes."""
        here, there = self.labels[first], self.labels[second]
        change = self.affinity[second] - self.affinity[first]
        self.to_group[here] += change
        self.to_group[there] -= change
        self.labels[first], self.labels[second] = there, here

    def best_swaps(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """For each given class the partner of the best swap, and its gain."""
        labels, to_group = self.labels, self.to_group
        own = to_group[labels, np.arange(labels.size)]
        partner = np.empty(rows.size, dtype=np.int64)
        gain = np.empty(rows.size)
        for start in range(0, rows.size, _ROWS):
            block = slice(start, start + _ROWS)
            some = rows[block]
            gains = np.take(np.ascontiguousarray(to_group[:, some].T), labels, axis=1)
            gains += to_group[labels[some]]
            gains -= own
            gains -= 2 * self.affinity[some]
            gains[labels[some, None] == labels] = -np.inf
            partner[block] = gains.argmax(axis=1)
            gain[block] = gains[np.arange(some.size), partner[block]] - own[some]
        return partner, gain


def climb(search: Search, rows: NDArray[np.int64]) -> None:
    """Swap until no swap of two classes gains, in place.

    A round finds the best partner of each class, then makes these swaps from the best down, each checked
    again if a group in it has just changed. A gain depends on the two groups alone: so the next round looks
    again only at classes of changed groups, and at those whose best partner is one of them.

    Args:
        search: where to start.
        rows: classes to look at first; all swaps between others must be known not to gain.
    """
    partner = np.zeros(search.labels.size, dtype=np.int64)
    gain = np.zeros(search.labels.size)
    while rows.size:
        partner[rows], gain[rows] = search.best_swaps(rows)
        offers = np.flatnonzero(gain > _EPSILON)
        changed = np.zeros(len(search.to_group), dtype=np.bool_)
        for first in offers[np.argsort(-gain[offers], kind="stable")].tolist():
            second = int(partner[first])
            groups = search.labels[[first, second]]
            if not changed[groups].any() or search.gain(first, second) > _EPSILON:
                search.swap(first, second)
                changed[groups] = True
        moved = changed[search.labels]
        rows = np.flatnonzero(moved | ((gain > _EPSILON) & moved[partner]))


def swap_groups(
    affinity: NDArray[np.float64],
    labels: NDArray[np.int64],
    num_groups: int,
    kicks: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Improve a balanced grouping by swaps, then by iterated local search.

    Where C mod k ≠ 0, each smaller group holds one empty place that classes can swap with: which groups are
    the larger ones is decided by the search, too.

    Args:
        affinity: [C, C] symmetric, diagonal 0, |sum| at most 1: S/ΣS for join, its negative for split.
        labels: [C] groups to start from, sizes within one of each other.
        num_groups: k.
        kicks: how often some related groups are shuffled and climbed from again; a worse result is dropped.
        generator: draws the kicks.

    Returns:
        [C] groups of the same balance, never worse than `labels`; no swap improves them.
    """
    classes = labels.size
    smaller = np.flatnonzero(np.bincount(labels) < -(-classes // num_groups))
    size = classes + smaller.size
    padded = np.zeros((size, size))
    padded[:classes, :classes] = affinity
    # Two empty places in one group would cost more than any grouping can gain.
    padded[classes:, classes:] = -4.0 * (1 - np.eye(smaller.size))
    best = Search.start(padded, np.concatenate([labels, smaller]), num_groups)
    climb(best, np.arange(size))
    best_value = best.value()
    for _ in range(kicks):
        trial = best.copy()
        climb(trial, _kick(trial, classes, generator))
        if trial.value() >= best_value:
            best, best_value = trial, trial.value()
    return best.labels[:classes]


def _kick(search: Search, classes: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Shuffle the group of a random class and the groups it is closest to; return the classes to look at."""
    centre = int(generator.integers(classes))
    closeness = search.to_group[:, centre].copy()
    closeness[search.labels[centre]] = np.inf
    groups = np.argsort(-closeness, kind="stable")[:_KICKED_GROUPS]
    members = np.flatnonzero(np.isin(search.labels[:classes], groups))
    chosen = generator.permutation(members)[:_KICKED_CLASSES].tolist()
    for first, second in pairwise(chosen):
        search.swap(first, second)
    return np.flatnonzero(np.isin(search.labels, groups))
