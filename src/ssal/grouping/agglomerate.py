"""A start for the swaps: classes that confuse each other are merged bottom-up, then cut to exact sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ssal.confusion.matrix import class_count, entries

# Usual matrices merge in 5 to 60 rounds; a chain of rising similarities would merge one pair per round.
_ROUNDS = 100
# Ties are common among counts; without this the merges of equal pairs would all wait for one class.
_JITTER = 1e-9
# A level of the merging is worth remembering if it has at most this share of the clusters of the one before.
_NEXT_LEVEL = 0.8


def agglomerate(
    matrix: sparse.csr_array, largest: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Merge classes into clusters of at most `largest`, pairs of mutual best neighbours at a time.

    Two clusters a, b are as close as Σ_{i∈a, j∈b} S_ij / √(|a|·|b|): between the sum, which lets large
    clusters swallow everything, and the mean, which wants every pair alike.

    Args:
        matrix: [C, C] similarity S, symmetric, diagonal 0.
        largest: the most classes that a cluster may hold.
        generator: breaks ties.

    Returns:
        Levels of the merging, from single classes to the final clusters: the cluster of each class, [C] each,
        with ids from 0 to the number of clusters - 1.
    """
    clusters = np.arange(class_count(matrix))
    levels = [clusters]
    sizes = np.ones(clusters.size, dtype=np.int64)
    links = matrix
    for _ in range(_ROUNDS):
        first, second = _mutual_best(links, sizes, largest, generator)
        if not first.size:
            break
        merged = np.arange(sizes.size)
        merged[second] = first
        _, merged = np.unique(merged, return_inverse=True)
        links = _contract(links, merged)
        sizes = np.bincount(merged, weights=sizes).astype(np.int64)
        clusters = merged[clusters]
        if len(levels) > 1 and sizes.size > _NEXT_LEVEL * (levels[-2].max() + 1):
            levels.pop()
        levels.append(clusters)
    return levels


def _mutual_best(
    links: sparse.csr_array, sizes: NDArray[np.int64], largest: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (a, b), a < b, each the closest of the other among those that it may merge with."""
    rows, columns, values = entries(links)
    allowed = (sizes[rows] + sizes[columns] <= largest) & (rows != columns)
    rows, columns, values = rows[allowed], columns[allowed], values[allowed]
    if not rows.size:
        return rows, rows
    noise = generator.random(sizes.size)
    score = values / np.sqrt(sizes[rows] * sizes[columns])
    score *= 1 + _JITTER * ((noise[rows] + noise[columns]) % 1)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    top = np.maximum.reduceat(score, starts)
    is_top = np.flatnonzero(score == np.repeat(top, np.diff(starts, append=rows.size)))
    best = np.full(sizes.size, -1)
    # Of equal scores the first counts: assigned last.
    best[rows[is_top[::-1]]] = columns[is_top[::-1]]
    first = np.flatnonzero(best >= 0)
    first = first[(best[best[first]] == first) & (first < best[first])]
    return first, best[first]


def _contract(links: sparse.csr_array, merged: NDArray[np.int64]) -> sparse.csr_array:
    size = int(merged.max()) + 1
    rows, columns, values = entries(links)
    return sparse.csr_array((values, (merged[rows], merged[columns])), shape=(size, size))


def pack(matrix: sparse.csr_array, levels: Sequence[NDArray[np.int64]], num_groups: int) -> NDArray[np.int64]:
    """Turn clusters of at most ⌈C/k⌉ classes into k groups whose sizes differ by at most one.

    The k largest clusters become groups, those of equal size by what they hold inside; surplus ones lose
    their loosest class. All other clusters join the closest group with room for all of them; what finds none
    is taken apart as it was put together, level by level.

    Args:
        matrix: [C, C] similarity S, symmetric, diagonal 0.
        levels: what `agglomerate` returns.
        num_groups: k.

    Returns:
        [C] group of each class.
    """
    clusters = levels[-1]
    rows, columns, values = entries(matrix)
    same = clusters[rows] == clusters[columns]
    own = np.bincount(rows[same], weights=values[same], minlength=clusters.size)
    held = np.bincount(clusters, weights=own)
    kept = np.lexsort((-held, -np.bincount(clusters)))[:num_groups]
    group_of = np.full(held.size, -1)
    group_of[kept] = np.arange(kept.size)
    labels = group_of[clusters]
    floor, larger = divmod(clusters.size, num_groups)
    # Kept clusters are ordered by size, so the first C mod k groups are the larger ones.
    room = np.where(np.arange(num_groups) < larger, floor + 1, floor)
    by_looseness = np.lexsort((own, labels))
    by_looseness = by_looseness[labels[by_looseness] >= 0]
    first = by_looseness[np.flatnonzero(np.diff(labels[by_looseness], prepend=-1))]
    sizes = np.bincount(labels[labels >= 0], minlength=num_groups)
    labels[first[(sizes > room)[labels[first]]]] = -1
    room -= np.bincount(labels[labels >= 0], minlength=num_groups)
    for pieces in reversed(levels):
        _place(matrix, pieces, labels, room)
    return labels


def _place(
    matrix: sparse.csr_array,
    pieces: NDArray[np.int64],
    labels: NDArray[np.int64],
    room: NDArray[np.int64],
) -> None:
    """Let pieces of free classes (label -1) join a group with room for them, largest first; in place."""
    free = np.flatnonzero(labels < 0)
    if not free.size:
        return
    _, piece = np.unique(pieces[free], return_inverse=True)
    sizes = np.bincount(piece)
    rows, columns, values = entries(sparse.csr_array(matrix[free]))
    placed = labels[columns] >= 0
    closeness = sparse.csr_array(
        (values[placed], (piece[rows[placed]], labels[columns[placed]])), shape=(sizes.size, room.size)
    )
    rows, groups, values = entries(closeness)
    ends = np.searchsorted(rows, np.arange(sizes.size + 1)).tolist()
    closest = np.zeros(sizes.size)
    np.maximum.at(closest, rows, values)
    target = np.full(sizes.size, -1)
    for index in np.lexsort((-closest, -sizes)).tolist():
        size = sizes[index]
        near = groups[ends[index] : ends[index + 1]]
        fits = np.flatnonzero(room[near] >= size)
        close = values[ends[index] : ends[index + 1]][fits]
        group = near[fits[close.argmax()]] if fits.size else room.argmax()
        if room[group] >= size:
            target[index] = group
            room[group] -= size
    labels[free] = target[piece]


def deal(clusters: NDArray[np.int64], num_groups: int) -> NDArray[np.int64]:
    """Deal the classes of each cluster out to different groups, sizes within one: a start for split.

    >>> deal(np.array([0, 0, 1, 1, 0]), 3)
    array([0, 1, 0, 1, 2])
    """
    labels = np.empty_like(clusters)
    labels[np.argsort(clusters, kind="stable")] = np.arange(clusters.size) % num_groups
    return labels
