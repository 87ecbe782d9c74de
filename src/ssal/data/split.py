"""Stratified splits of a labelled set, drawn from a seed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssal.data.randomness import SPLIT, random_bits
from ssal.errors import DataError, InputError


def holdout_split(
    targets: ArrayLike, share: float, seed: int, *, class_names: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split sample numbers into a training part and a held-out part, class by class.

    Of a class of n_c samples, `share · n_c` are held out, rounded up or down such that `round(share · N)` are
    held out in all; but at least one and never all of a class, even if the total then differs.

    Args:
        targets: Class ids [N], from 0.
        share: Part to hold out, between 0 and 1, both excluded.
        seed: The same seed gives the same split.
        class_names: Used in messages only.

    Returns:
        Training indices and held-out indices, int64, each in rising order; together they are 0 … N-1.

    Raises:
        InputError: `share` is not between 0 and 1.
        DataError: A class has a single sample.

    >>> train, holdout = holdout_split([0, 0, 0, 0, 1, 1, 1, 1], 0.25, seed=0)
    >>> len(train), len(holdout)
    (6, 2)
    """
    if not 0.0 < share < 1.0:
        raise InputError(f"the share to hold out must lie between 0 and 1, both excluded; got {share}")
    labels = np.asarray(targets, dtype=np.int64)
    counts = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    _check_pairs(counts, class_names)
    keys = random_bits(seed, SPLIT, np.arange(len(labels)))
    quotas = _quotas(counts, share, seed)
    order = np.lexsort((keys, labels))
    first_of_class = np.cumsum(counts) - counts
    rank_in_class = np.arange(len(labels)) - np.repeat(first_of_class, counts)
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[order] = rank_in_class < np.repeat(quotas, counts)
    return np.flatnonzero(~held_out).astype(np.int64), np.flatnonzero(held_out).astype(np.int64)


def draw_per_class(targets: ArrayLike, count: int, seed: int) -> NDArray[np.int64]:
    """Draw so many samples of each class; all of a class that has no more.

    Args:
        targets: Class ids [N], from 0.
        count: Samples of each class, at least 1.
        seed: The same seed gives the same samples; a larger count adds to those of a smaller one.

    Returns:
        Sample numbers, int64, in rising order.

    Raises:
        InputError: `count` is below 1.

    >>> len(draw_per_class([0, 0, 0, 0, 1, 1, 1], 2, seed=0))
    4
    """
    if count < 1:
        raise InputError(f"at least 1 sample of each class must be drawn; got {count}")
    labels = np.asarray(targets, dtype=np.int64)
    counts = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    order = np.lexsort((random_bits(seed, SPLIT, np.arange(len(labels))), labels))
    rank_in_class = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank_in_class < count]).astype(np.int64)


def _check_pairs(counts: NDArray[np.int64], class_names: Sequence[str] | None) -> None:
    single = np.flatnonzero(counts == 1)
    if len(single):
        name = repr(class_names[single[0]]) if class_names is not None else str(single[0])
        raise DataError(f"class {name} has a single image; at least 2 are needed to hold one out")


def _quotas(counts: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """Share out the held-out samples over the classes by largest remainders, within 1 … n_c - 1."""
    present = counts > 0
    exact = share * counts
    lower = np.where(present, 1, 0)
    upper = np.where(present, counts - 1, 0)
    quotas = np.clip(np.floor(exact).astype(np.int64), lower, upper)
    missing = round(share * int(counts.sum())) - int(quotas.sum())
    # Classes with equal remainders take turns by lot, so that low class ids are not preferred.
    lot = random_bits(seed, SPLIT, len(counts), np.arange(len(counts)))
    by_need = np.lexsort((lot, -(exact - quotas)))
    takers = by_need[(quotas < upper)[by_need]][: max(missing, 0)]
    quotas[takers] += 1
    return quotas
