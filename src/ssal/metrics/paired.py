"""Two ways of prediction on the same samples: how much better one is, and what of it may be chance."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from ssal.errors import DataError
from ssal.metrics.confidence import area_under_risk_coverage
from ssal.metrics.inputs import confidence_and_correct

# Weights of this many resampled samples are held at a time.
_CHUNK = 1 << 22


class Gain(NamedTuple):
    """How much smaller a loss is than another, with the interval that 95 % of the repetitions would cover.

    Attributes:
        mean: the other's loss less ours; positive where we are better.
        low: lower end of the interval; above 0, the gain is beyond chance for samples like these.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def gain_over_runs(differences: Sequence[float]) -> Gain:
    """Mean of a difference that was measured once in each of some runs, with its interval by Student's t.

    Raises:
        DataError: there are fewer than two runs.

    >>> [round(end, 2) for end in gain_over_runs([1.34, 1.16, 0.47])]
    [0.99, -0.15, 2.13]
    """
    if len(differences) < 2:
        raise DataError(f"an interval over runs needs at least 2 of them, got {len(differences)}")
    mean = statistics.fmean(differences)
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * statistics.stdev(differences)
    half /= math.sqrt(len(differences))
    return Gain(mean, mean - half, mean + half)


def mean_gain(ours: ArrayLike, other: ArrayLike) -> Gain:
    """Difference of two mean losses over the same N samples, with its normal interval.

    Args:
        ours: loss of each sample [N].
        other: loss of each sample [N].

    Raises:
        DataError: the shapes differ, or there is no sample.

    >>> mean_gain([1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0])
    Gain(mean=1.0, low=1.0, high=1.0)
    """
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or not a.size:
        raise DataError(
            f"losses of shapes {[*a.shape]} and {[*b.shape]}; [N] is wanted of both, N at least 1"
        )
    difference = b - a
    mean = float(difference.mean())
    spread = 1.96 * float(difference.std()) / np.sqrt(a.size)
    return Gain(mean, float(mean - spread), float(mean + spread))


def area_gain(
    ours: tuple[object, object], other: tuple[object, object], repeats: int = 200, seed: int = 0
) -> Gain:
    """Difference of two areas under risk-coverage on the same N samples, by a paired bootstrap.

    Args:
        ours: confidence [N] and whether each prediction is right [N].
        other: the same of the other way, whose predictions may be others.
        repeats: number of resampled sets.
        seed: of the resampling.

    Raises:
        DataError: the shapes differ, there is no sample, or a confidence is NaN.

    >>> confidence, correct = np.arange(50.0), np.arange(50) > 9
    >>> area_gain((confidence, correct), (-confidence, correct)).low > 0
    True
    """
    orders = [_by_confidence(*way) for way in (ours, other)]
    differences: list[NDArray[np.float64]] = []
    for weights in _resampled(orders[0][0].size, orders[1][0].size, repeats, seed):
        areas = [_weighted_area(weights[:, order], error, ties) for order, error, ties in orders]
        differences.append(areas[1] - areas[0])
    low, high = np.quantile(np.concatenate(differences), [0.025, 0.975])
    mean = area_under_risk_coverage(*other) - area_under_risk_coverage(*ours)
    return Gain(mean, float(low), float(high))


def calibration_gain(
    ours: tuple[object, object],
    other: tuple[object, object],
    bins: int = 15,
    repeats: int = 200,
    seed: int = 0,
) -> Gain:
    """Difference of two mean squared calibration errors on the same N samples, by a paired bootstrap.

    The mean over samples of the squared distance between confidence and accuracy of their bin, without what
    chance adds to it (debiased as by Kumar et al. 2019): of two that are calibrated, the expected calibration
    error is larger for the one that is spread over more bins.

    Args:
        ours: top-1 probability [N], 0–1, and whether each prediction is right [N].
        other: the same of the other way, whose predictions may be others.
        bins: number of bins of (0, 1].
        repeats: number of resampled sets.
        seed: of the resampling.

    Raises:
        DataError: the shapes differ, there is no sample, or a probability is NaN.

    >>> correct = np.arange(100) < 80
    >>> calibration_gain((np.full(100, 0.8), correct), (np.full(100, 0.99), correct)).low > 0
    True
    """
    ways = [_Gaps.of(*way, bins) for way in (ours, other)]
    count = ways[0].count
    drawn = [
        ways[1].debiased_error(weights) - ways[0].debiased_error(weights)
        for weights in _resampled(count, ways[1].count, repeats, seed)
    ]
    whole = np.ones((1, count), dtype=np.int64)
    mean = float((ways[1].debiased_error(whole) - ways[0].debiased_error(whole))[0])
    # Resampled sets scatter around the error of this set, the chance in it included.
    centre = ways[1].plain_error(whole) - ways[0].plain_error(whole)
    low, high = np.quantile(np.concatenate(drawn) - centre, [0.025, 0.975])
    return Gain(mean, mean - float(high), mean - float(low))


def _resampled(count: int, other: int, repeats: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each sample is drawn: blocks of rows [R, N], `repeats` rows in all."""
    if other != count:
        raise DataError(f"{count} samples, but {other} of the other way")
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // count)
    for start in range(0, repeats, step):
        rows = min(step, repeats - start)
        yield generator.multinomial(count, np.full(count, 1 / count), size=rows)


@dataclass(frozen=True)
class _Gaps:
    """Of N samples: confidence less accuracy, its square, and 1, in the column of the bin [N, bins]."""

    count: int
    gap: sparse.csr_array
    square: sparse.csr_array
    inside: sparse.csr_array

    @classmethod
    def of(cls, confidence: object, correct: object, bins: int) -> _Gaps:
        scores, right = confidence_and_correct(confidence, correct)
        place = np.clip(np.ceil(scores * bins).astype(np.int64) - 1, 0, bins - 1)
        gap = scores - right
        rows = np.arange(scores.size)
        columns = [
            sparse.csr_array((v, (rows, place)), shape=(gap.size, bins)) for v in (gap, gap**2, gap**0)
        ]
        return cls(gap.size, *columns)

    def plain_error(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean squared gap of the bins for each row of weights [R, N]: how often each sample was drawn."""
        total, count = weights @ self.gap, weights @ self.inside
        return (total**2 / np.maximum(count, 1)).sum(axis=1) / weights.shape[1]

    def debiased_error(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """The same from products of two samples each, whose expectation has no variance in it."""
        total, count = weights @ self.gap, weights @ self.inside
        products = (total**2 - weights @ self.square) / np.maximum(count - 1, 1)
        return products.sum(axis=1) / weights.shape[1]


def _by_confidence(
    confidence: object, correct: object
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """The order from sure to unsure, the error of each sample in it, and where each run of ties begins."""
    scores, right = confidence_and_correct(confidence, correct)
    order = np.argsort(-scores, kind="stable")
    begins = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    return order, (1.0 - right[order]).astype(np.float64), begins


def _weighted_area(
    weights: NDArray[np.int64], errors: NDArray[np.float64], begins: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Area of each row of `weights` [R, N], how often each sample was drawn; ties share their errors."""
    if begins.size < errors.size:
        # Those of the drawn ones: with the rate of all samples, ties would have no chance in them.
        wrong = np.add.reduceat(weights * errors, begins, axis=1)
        rate = wrong / np.maximum(np.add.reduceat(weights, begins, axis=1), 1)
        errors = rate.repeat(np.diff(begins, append=errors.size), axis=1)
    kept = weights.cumsum(axis=1)
    risk = (weights * errors).cumsum(axis=1) / np.maximum(kept, 1)
    return (weights * risk).sum(axis=1) / kept[:, -1]
