"""Two ways of prediction on the same samples: how much better one is, and what of it may be chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssal.errors import DataError
from ssal.metrics.confidence import area_under_risk_coverage, risk_coverage
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
    count = orders[0][0].size
    if orders[1][0].size != count:
        raise DataError(f"{count} samples, but {orders[1][0].size} of the other way")
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // count)
    differences: list[NDArray[np.float64]] = []
    for start in range(0, repeats, step):
        rows = min(step, repeats - start)
        weights = generator.multinomial(count, np.full(count, 1 / count), size=rows)
        areas = [_weighted_area(weights[:, order], error) for order, error in orders]
        differences.append(areas[1] - areas[0])
    low, high = np.quantile(np.concatenate(differences), [0.025, 0.975])
    mean = area_under_risk_coverage(*other) - area_under_risk_coverage(*ours)
    return Gain(mean, float(low), float(high))


def _by_confidence(confidence: object, correct: object) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The order from sure to unsure, and the error of each sample in it, ties sharing theirs."""
    scores, _ = confidence_and_correct(confidence, correct)
    coverage, risk = risk_coverage(confidence, correct)
    errors = np.diff(risk * np.arange(1, coverage.size + 1), prepend=0.0)
    return np.argsort(-scores, kind="stable"), errors


def _weighted_area(weights: NDArray[np.int64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of each row of `weights` [R, N], how often each sample was drawn."""
    kept = weights.cumsum(axis=1)
    risk = (weights * errors).cumsum(axis=1) / np.maximum(kept, 1)
    return (weights * risk).sum(axis=1) / kept[:, -1]
