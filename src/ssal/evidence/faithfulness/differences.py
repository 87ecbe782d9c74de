"""Means of paired differences with what the choice of the images leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

_RESAMPLES = 4000
_CONFIDENCE = 0.95
_LEAST_STAKE = 0.01

Verdict = Literal["better", "worse", "no difference"]


@dataclass(frozen=True)
class Difference:
    """Mean of a difference over images, with its 95 % bootstrap interval; above 0 is better.

    Attributes:
        value: the mean.
        low: lower end of the interval.
        high: upper end.
    """

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """`better` or `worse` where 0 lies outside of the interval."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference"


def mean_difference(values: ArrayLike, seed: int = 0) -> Difference:
    """Mean of one value per image, and its percentile bootstrap interval over images.

    >>> mean_difference([0.5, 0.5, 0.5])
    Difference(value=0.5, low=0.5, high=0.5)

    Args:
        values: difference for each of N images, [N]; nonempty.
        seed: of the resampling.
    """
    known = np.asarray(values, dtype=np.float64)
    return _summary(float(known.mean()), _draws(len(known), seed) @ known)


def _draws(count: int, seed: int) -> NDArray[np.float64]:
    """Weights of the images in each resample, [R, N]: how often each is drawn is all that a mean needs."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) / count


def _summary(value: float, resampled: NDArray[np.float64]) -> Difference:
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Difference(value, float(low), float(high))


def relative_mean(values: Sequence[float], stakes: Sequence[float]) -> float:
    """Mean of `values` as a share of the mean of `stakes`, which counts as 1 % at least.

    >>> relative_mean([0.1, 0.3], [0.5, 0.3])
    0.5
    """
    return float(np.mean(values) / max(float(np.mean(stakes)), _LEAST_STAKE))


def relative_difference(
    first: tuple[Sequence[float], Sequence[float]],
    second: tuple[Sequence[float], Sequence[float]],
    seed: int = 0,
) -> Difference:
    """Difference of two `relative_mean` over the same images, and its interval.

    Args:
        first: values [N] and stakes [N].
        second: values [N] and stakes [N], of the same images.
        seed: of the resampling.
    """
    means = [np.asarray(values, dtype=np.float64) for pair in (first, second) for values in pair]
    draws = _draws(len(means[0]), seed)
    gain, stake, other_gain, other_stake = (draws @ values for values in means)
    resampled = gain / np.maximum(stake, _LEAST_STAKE) - other_gain / np.maximum(other_stake, _LEAST_STAKE)
    return _summary(relative_mean(*first) - relative_mean(*second), resampled)
