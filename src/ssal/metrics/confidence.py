"""Whether a confidence tells right predictions from wrong ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from ssal.metrics.inputs import confidence_and_correct


def risk_coverage(confidence: object, correct: object) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the error rate among the most confident samples, for each number of samples kept.

    Samples of equal confidence cannot be told apart: within them the error rate of all of them counts, so
    that the curve does not depend on the order of the samples.

    Args:
        confidence: [N], higher = surer.
        correct: [N] whether each prediction is right.

    Returns:
        coverage [N], the share of samples kept, 1/N to 1; and risk [N], the share of errors among them.

    Raises:
        DataError: the shapes differ, there is no sample, or a confidence is NaN.

    >>> coverage, risk = risk_coverage([0.9, 0.2, 0.6, 0.4], [True, False, False, True])
    >>> risk.round(2)
    array([0.  , 0.5 , 0.33, 0.5 ])
    """
    scores, right = confidence_and_correct(confidence, correct)
    _, tie, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    error_rate = np.bincount(tie, weights=~right) / sizes
    kept = np.arange(1, scores.size + 1)
    return kept / scores.size, np.cumsum(np.repeat(error_rate, sizes)) / kept


def area_under_risk_coverage(confidence: object, correct: object) -> float:
    """Mean of the risk over all coverages, from 0 to 1; lower is better.

    Raises:
        DataError: the shapes differ, there is no sample, or a confidence is NaN.

    >>> area_under_risk_coverage([0.9, 0.8, 0.1], [True, True, False])
    0.111...
    """
    return float(risk_coverage(confidence, correct)[1].mean())


def error_detection_auroc(confidence: object, correct: object) -> float:
    """Probability that a right prediction is more confident than a wrong one, from 0 to 1.

    NaN if all predictions are right, or all wrong: there is then nothing to tell apart.

    Raises:
        DataError: the shapes differ, there is no sample, or a confidence is NaN.

    >>> error_detection_auroc([0.9, 0.8, 0.1], [True, False, False])
    1.0
    """
    scores, right = confidence_and_correct(confidence, correct)
    if right.all() or not right.any():
        return float("nan")
    # By rank: the area is the same, and an infinite log-probability is a rank like any other.
    return float(roc_auc_score(right, np.unique(scores, return_inverse=True)[1]))
