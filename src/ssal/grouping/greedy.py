"""The greedy rule of the paper (§3.1), with running sums instead of distances to every member."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssal.confusion import Confusion
from ssal.confusion.matrix import class_count
from ssal.errors import InputError

# Two [k, C] arrays are kept: 400 MB each at this size.
_LARGEST = 50_000_000
_MANY, _TRIES = 16, 4


def greedy_groups(affinity: Confusion, num_groups: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Group classes by the greedy rule: seeds first, then always the closest (class, open cluster) pair.

    The k classes of highest average distance to all others start the clusters. Then, again and again, the
    class and the open cluster of smallest mean distance come together. A cluster is open while it holds fewer
    than C/k classes; so that sizes differ by at most one, only C mod k clusters get beyond ⌊C/k⌋. Of tied
    pairs the first wins, or any where there are many: the caller shuffles the classes to make that random.

    Args:
        affinity: [C, C] negative distance up to a constant: S for join, -S for split; diagonal 0.
        num_groups: k, from 2 to C/2.
        generator: chooses where many clusters tie.

    Returns:
        [C] cluster of each class.

    Raises:
        InputError: k · C is too large for the running sums.
    """
    count = class_count(affinity)
    if num_groups * count > _LARGEST:
        raise InputError(
            f"method 'paper' is for up to {_LARGEST:,} classes × groups, not {count:,} × {num_groups:,}; "
            "use 'refined'"
        )
    seeds = np.sort(np.argsort(np.asarray(affinity.sum(axis=1)), kind="stable")[:num_groups])
    labels = np.full(count, -1)
    labels[seeds] = np.arange(num_groups)
    sizes = np.ones(num_groups, dtype=np.int64)
    opened = np.ones(num_groups, dtype=np.bool_)
    floor, larger = divmod(count, num_groups)
    # sums: to all members; means: the same per member, -inf where the class is taken or the cluster full.
    sums = np.zeros((num_groups, count))
    for cluster, seed in enumerate(seeds.tolist()):
        _add_row(sums[cluster], affinity, seed)
    means = sums.copy()
    means[:, seeds] = -np.inf
    # The best open cluster of each class, kept up to date: a step changes one cluster only.
    value = means.max(axis=0)
    best = np.full(count, -1)
    _find_best(means, best, value, np.flatnonzero(labels < 0), np.arange(num_groups), generator)
    for _ in range(count - num_groups):
        chosen = int(value.argmax())
        cluster = int(best[chosen])
        labels[chosen] = cluster
        means[:, chosen] = value[chosen] = -np.inf
        best[chosen] = -1
        _add_row(sums[cluster], affinity, chosen)
        sizes[cluster] += 1
        larger -= int(sizes[cluster] > floor)
        # Once C mod k clusters are beyond ⌊C/k⌋, all others close there.
        closing = (sizes > floor if larger else sizes >= floor) & opened
        if closing[cluster]:
            opened &= ~closing
            means[closing] = -np.inf
            stale = (best >= 0) & closing[best]
        else:
            mean = np.where(labels < 0, sums[cluster] / sizes[cluster], -np.inf)
            means[cluster] = mean
            stale = (best == cluster) & (mean < value)
            closer = np.flatnonzero(mean > value)
            best[closer], value[closer] = cluster, mean[closer]
        again = np.flatnonzero(stale)
        if again.size:
            _find_best(means, best, value, again, np.flatnonzero(opened), generator)
    return labels


def _find_best(
    means: NDArray[np.float64],
    best: NDArray[np.int64],
    value: NDArray[np.float64],
    classes: NDArray[np.int64],
    opened: NDArray[np.int64],
    generator: np.random.Generator,
) -> None:
    """Find the best open cluster of some classes again; in place. No mean is above `value`."""
    # Many classes at once mostly lack any confusion: clusters tie, any will do, and trying is cheaper.
    for _ in range(_TRIES if classes.size > _MANY else 0):
        tried = opened[generator.integers(opened.size, size=classes.size)]
        tie = means[tried, classes] == value[classes]
        best[classes[tie]] = tried[tie]
        classes = classes[~tie]
    if not classes.size:
        return
    among = means[opened[:, None], classes]
    top = among.argmax(axis=0)
    best[classes], value[classes] = opened[top], among[top, np.arange(classes.size)]


def _add_row(total: NDArray[np.float64], matrix: Confusion, row: int) -> None:
    if isinstance(matrix, np.ndarray):
        total += matrix[row]
        return
    stored: Any = matrix
    part = slice(stored.indptr[row], stored.indptr[row + 1])
    total[stored.indices[part]] += stored.data[part]
