"""Local search for very many classes: rounds of compatible swaps, proposed only where they can gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ssal.confusion.matrix import Entries, entries

# Gains are measured against a total of 1; a swap that matters at 100,000 classes gains some 1e-7.
_EPSILON = 1e-13
# Later rounds find a ten-thousandth of what the first ones do.
_ROUNDS = 24
# Partners tried in the group that a class is drawn to: the loosest, and the one most drawn the other way.
_LOOSEST = 8
# Random partners tried for a class that is grouped with one it should be kept apart from.
_DRAWN = 16


class _Swaps(NamedTuple):
    """Swaps of classes first[i] and second[i]."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]


@dataclass(frozen=True)
class _Links:
    """S of the classes, followed by empty rows for the empty places of smaller groups.

    Attributes:
        matrix: [n, n] CSR.
        entries: what it stores.
        keys: row · n + column of each entry, ascending.
        starts: [n + 1] where the entries of each row start.
        classes: C; rows from here on are empty places.
    """

    matrix: sparse.csr_array
    entries: Entries
    keys: NDArray[np.int64]
    starts: NDArray[np.int64]
    classes: int


class _Pull(NamedTuple):
    """How much each class is linked to each group, where at all.

    rows, groups, values are parallel; keys = row · k + group, ascending; own [n] is that to the own group.
    """

    rows: NDArray[np.int64]
    groups: NDArray[np.int64]
    values: NDArray[np.float64]
    keys: NDArray[np.int64]
    own: NDArray[np.float64]


def swap_neighbours(
    matrix: sparse.csr_array,
    labels: NDArray[np.int64],
    num_groups: int,
    criterion: str,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Improve a balanced grouping by rounds of swaps, with memory in proportion to the stored entries.

    All swaps of a round are chosen such that their gains add up exactly; so J improves in every round.

    Args:
        matrix: [C, C] similarity S/ΣS, symmetric, diagonal 0.
        labels: [C] groups to start from, sizes within one of each other.
        num_groups: k.
        criterion: join gathers similarity inside groups, split removes it from there.
        generator: draws the partners tried under split.

    Returns:
        [C] groups of the same balance, never worse than `labels`.
    """
    classes = labels.size
    smaller = np.flatnonzero(np.bincount(labels) < -(-classes // num_groups))
    labels = np.concatenate([labels, smaller])
    stored = entries(matrix)
    starts = np.searchsorted(stored.rows, np.arange(labels.size + 1))
    padded = sparse.csr_array((stored.values, stored.columns, starts), shape=(labels.size, labels.size))
    links = _Links(padded, stored, stored.rows * labels.size + stored.columns, starts, classes)
    active = np.ones(labels.size, dtype=np.bool_)
    for _ in range(_ROUNDS):
        pull = _pull(links, labels, num_groups)
        if criterion == "join":
            swaps = _drawn_together(pull, labels, num_groups, active)
        else:
            swaps = _kept_apart(pull, active, generator)
        swaps = _possible(swaps, links, labels, num_groups)
        gains = _gains(swaps, links, pull, labels, num_groups)
        if criterion == "split":
            gains = -gains
        better = np.flatnonzero(gains > _EPSILON)
        if not better.size:
            break
        better = better[np.argsort(-gains[better], kind="stable")]
        swaps = _Swaps(swaps.first[better], swaps.second[better])
        chosen = _compatible(swaps, links, labels)
        first, second = swaps.first[chosen], swaps.second[chosen]
        labels[first], labels[second] = labels[second], labels[first]
        changed = np.zeros(num_groups, dtype=np.bool_)
        changed[labels[first]] = changed[labels[second]] = True
        active = changed[labels]
        # Whoever is linked to a changed group may now gain by going there.
        active[stored.columns[active[stored.rows]]] = True
        active[swaps.first] = True
    return labels[:classes]


def _pull(links: _Links, labels: NDArray[np.int64], num_groups: int) -> _Pull:
    size = labels.size
    member = sparse.csr_array((np.ones(size), labels, np.arange(size + 1)), shape=(size, num_groups))
    product = sparse.csr_array(links.matrix @ member)
    product.sort_indices()
    rows, groups, values = entries(product)
    inside = labels[rows] == groups
    own = np.zeros(size)
    own[rows[inside]] = values[inside]
    return _Pull(rows, groups, values, rows * num_groups + groups, own)


def _drawn_together(
    pull: _Pull, labels: NDArray[np.int64], num_groups: int, active: NDArray[np.bool_]
) -> _Swaps:
    """Classes that are linked more to another group, with partners there."""
    outside = pull.groups != labels[pull.rows]
    move = pull.values - pull.own[pull.rows]
    wanted = np.flatnonzero(outside & (move > _EPSILON) & active[pull.rows])
    classes, targets = pull.rows[wanted], pull.groups[wanted]
    # The loosest members of the target group; an empty place is the loosest of all.
    by_looseness = np.lexsort((pull.own, labels))
    ends = np.cumsum(np.bincount(labels, minlength=num_groups))
    sizes = np.diff(ends, prepend=0)
    place = np.arange(min(_LOOSEST, int(sizes.max())))
    slots = (ends - sizes)[targets, None] + place
    exists = place < sizes[targets, None]
    first = np.broadcast_to(classes[:, None], slots.shape)[exists]
    second = by_looseness[slots[exists]]
    if sizes.max() <= _LOOSEST:
        return _Swaps(first, second)
    # In a large group the best partner may be one that is drawn the other way.
    ways, way_of = np.unique(targets * num_groups + labels[classes], return_inverse=True)
    opposite = labels[pull.rows] * num_groups + pull.groups
    found = np.minimum(np.searchsorted(ways, opposite), max(ways.size - 1, 0))
    usable = np.flatnonzero(outside & (ways[found] == opposite)) if ways.size else wanted
    usable = usable[np.lexsort((-move[usable], found[usable]))]
    leading = usable[np.flatnonzero(np.diff(found[usable], prepend=-1))]
    leader = np.full(ways.size, -1)
    leader[found[leading]] = pull.rows[leading]
    has_leader = leader[way_of] >= 0
    return _Swaps(
        np.concatenate([first, classes[has_leader]]), np.concatenate([second, leader[way_of][has_leader]])
    )


def _kept_apart(pull: _Pull, active: NDArray[np.bool_], generator: np.random.Generator) -> _Swaps:
    """Classes that are grouped with similar ones, with partners drawn from everywhere."""
    conflicted = np.flatnonzero((pull.own > _EPSILON) & active)
    return _Swaps(
        np.repeat(conflicted, _DRAWN), generator.integers(pull.own.size, size=conflicted.size * _DRAWN)
    )


def _possible(swaps: _Swaps, links: _Links, labels: NDArray[np.int64], num_groups: int) -> _Swaps:
    """Drop swaps inside a group, and those that would bring a second empty place into one."""
    has_place = np.zeros(num_groups, dtype=np.bool_)
    has_place[labels[links.classes :]] = True
    to_empty = (swaps.second >= links.classes) & has_place[labels[swaps.first]]
    keep = (labels[swaps.first] != labels[swaps.second]) & ~to_empty
    return _Swaps(swaps.first[keep], swaps.second[keep])


def _gains(
    swaps: _Swaps, links: _Links, pull: _Pull, labels: NDArray[np.int64], num_groups: int
) -> NDArray[np.float64]:
    """How much similarity inside groups each swap adds, counted once per pair of classes."""
    here, there = labels[swaps.first], labels[swaps.second]
    gains = _look_up(pull.keys, pull.values, swaps.first * num_groups + there) - pull.own[swaps.first]
    gains += _look_up(pull.keys, pull.values, swaps.second * num_groups + here) - pull.own[swaps.second]
    direct = _look_up(links.keys, links.entries.values, swaps.first * labels.size + swaps.second)
    return gains - 2 * direct


def _look_up(
    keys: NDArray[np.int64], values: NDArray[np.float64], wanted: NDArray[np.int64]
) -> NDArray[np.float64]:
    if not keys.size:
        return np.zeros(wanted.size)
    found = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where(keys[found] == wanted, values[found], 0.0)


def _compatible(swaps: _Swaps, links: _Links, labels: NDArray[np.int64]) -> list[int]:
    """From the best down, take swaps whose gains add up: no class that moves is linked to one that moved."""
    starts, columns = links.starts.tolist(), links.entries.columns
    blocked = np.zeros(labels.size, dtype=np.bool_)
    # A group that gets an empty place must not get another one in the same round.
    given = bytearray(int(labels.max()) + 1)
    chosen: list[int] = []
    groups = labels[swaps.first].tolist()
    for index, (first, second) in enumerate(zip(swaps.first.tolist(), swaps.second.tolist(), strict=True)):
        if blocked[first] or blocked[second] or (second >= links.classes and given[groups[index]]):
            continue
        chosen.append(index)
        for moved in (first, second):
            blocked[moved] = True
            blocked[columns[starts[moved] : starts[moved + 1]]] = True
        if second >= links.classes:
            given[groups[index]] = 1
    return chosen
