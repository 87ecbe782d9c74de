"""Whether predictions with a probability of p are right p of the time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torchmetrics.functional.classification import multiclass_calibration_error

from ssal.errors import InputError
from ssal.metrics.inputs import check_distributions, scores_and_target

# In single precision, to which torchmetrics rounds.
_BELOW_ONE = 1 - 2**-24


def expected_calibration_error(probs: object, target: object, bins: int = 15) -> float:
    """Expected calibration error of the top-1 probability, over bins of equal width, in percent.

    The mean over samples of |accuracy - confidence| of their bin (Guo et al. 2017).

    Args:
        probs: [N, C] probabilities; array or tensor.
        target: [N] class ids.
        bins: number of bins of [0, 1].

    Raises:
        InputError: there is no bin.
        DataError: the shapes do not fit, there is no sample, a row is no distribution, or a target no class.

    >>> expected_calibration_error([[0.75, 0.25], [0.75, 0.25]], [0, 1])
    25.0
    """
    values, classes = scores_and_target(probs, target, "probs")
    if bins < 1:
        raise InputError(f"the calibration error needs at least 1 bin, not {bins}")
    check_distributions(values, "probs")
    # Rounding may lift a probability above 1, and torchmetrics would take that for a logit; for 1 itself it
    # has a bin of its own, beside those asked for.
    error = multiclass_calibration_error(
        values.clamp(0, _BELOW_ONE), classes, num_classes=values.shape[1], n_bins=bins, norm="l1"
    )
    return 100 * float(error)


@dataclass(frozen=True)
class Reliability:
    """Top-1 probability against accuracy, over bins of equal width of (0, 1].

    Attributes:
        count: int64 [bins], samples in each bin.
        confidence: float64 [bins], their mean top-1 probability, 0–1; NaN in an empty bin.
        accuracy: float64 [bins], the share of them that is right, 0–1; NaN in an empty bin.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def reliability(probs: object, target: object, bins: int = 15) -> Reliability:
    """Compute what a reliability diagram shows; the calibration error is the mean distance in it.

    Args:
        probs: [N, C] probabilities; array or tensor.
        target: [N] class ids.
        bins: number of bins of (0, 1]; a bin holds its upper end, not its lower.

    Raises:
        InputError: there is no bin.
        DataError: the shapes do not fit, there is no sample, a row is no distribution, or a target no class.

    >>> found = reliability([[0.75, 0.25], [0.75, 0.25], [0.0, 1.0]], [0, 1, 1], bins=4)
    >>> found.count, found.accuracy
    (array([0, 0, 2, 1]), array([nan, nan, 0.5, 1. ]))
    """
    values, classes = scores_and_target(probs, target, "probs")
    if bins < 1:
        raise InputError(f"a reliability diagram needs at least 1 bin, not {bins}")
    check_distributions(values, "probs")
    best = values.max(dim=1)
    confidence = best.values.double().clamp(0, 1).numpy()
    right = (best.indices == classes).numpy()
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            count=count,
            confidence=np.bincount(place, confidence, bins) / count,
            accuracy=np.bincount(place, right, bins) / count,
        )
