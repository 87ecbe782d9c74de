"""How good predictions are: right, calibrated, and aware of their own errors."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from ssal.errors import DataError, InputError

# bfloat16 log-probabilities still sum to one within this; logits do not.
_SUM_TOLERANCE = 0.05


def top_k_accuracy(scores: object, target: object, k: int = 1) -> float:
    """Share of samples whose class is among the k highest scores, in percent.

    Args:
        scores: [N, C] logits, probabilities or log-probabilities; array or tensor.
        target: [N] class ids.
        k: at least 1; with k ≥ C every sample counts as right.

    Raises:
        InputError: k is below 1.
        DataError: the shapes do not fit, there is no sample, a score is NaN, or a target is no class.

    >>> top_k_accuracy([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], [1, 1], k=1)
    50.0
    """
    values, classes = _scores_and_target(scores, target, "scores")
    if k < 1:
        raise InputError(f"top-k accuracy needs k of at least 1, not {k}")
    # torchmetrics gives the same number by a mask of all scores: 40 times slower at 1,000 classes.
    best = values.topk(min(k, values.shape[1]), dim=1).indices
    return 100 * int((best == classes[:, None]).sum()) / classes.numel()


def negative_log_likelihood(log_probs: object, target: object) -> float:
    """Mean of -log P(true class), in nats; infinite if a true class was given probability 0.

    Args:
        log_probs: [N, C] log-probabilities; array or tensor.
        target: [N] class ids.

    Raises:
        DataError: the shapes do not fit, there is no sample, a row is no distribution, or a target no class.

    >>> negative_log_likelihood(np.log([[0.5, 0.5], [0.25, 0.75]]), [0, 1])
    0.490...
    """
    values, classes = _scores_and_target(log_probs, target, "log_probs")
    _check_distributions(values.exp(), "log_probs")
    return -float(values.gather(1, classes[:, None]).double().mean())


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
    values, classes = _scores_and_target(probs, target, "probs")
    if bins < 1:
        raise InputError(f"the calibration error needs at least 1 bin, not {bins}")
    _check_distributions(values, "probs")
    # Rounding may lift a probability above 1, and torchmetrics would take that for a logit.
    error = multiclass_calibration_error(
        values.clamp(0, 1), classes, num_classes=values.shape[1], n_bins=bins, norm="l1"
    )
    return 100 * float(error)


def brier_score(probs: object, target: object) -> float:
    """Mean over samples of Σ_c (p_c - [c = true class])², from 0 (sure and right) to 2 (sure and wrong).

    Args:
        probs: [N, C] probabilities; array or tensor.
        target: [N] class ids.

    Raises:
        DataError: the shapes do not fit, there is no sample, a row is no distribution, or a target no class.

    >>> brier_score([[0.5, 0.5], [0.0, 1.0]], [0, 1])
    0.25
    """
    values, classes = _scores_and_target(probs, target, "probs")
    _check_distributions(values, "probs")
    truth = values.gather(1, classes[:, None]).squeeze(1)
    return float((values.square().sum(dim=1) - 2 * truth + 1).mean())


def summarise(log_probs: object, target: object) -> dict[str, float]:
    """Compute the numbers that every prediction is judged by.

    Args:
        log_probs: [N, C] log-probabilities; array or tensor.
        target: [N] class ids.

    Returns:
        top1, top5 and ece in percent, nll in nats. With at most five classes top5 is 100.

    Raises:
        DataError: the shapes do not fit, there is no sample, a row is no distribution, or a target no class.

    >>> summarise(np.log([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), [0, 1])
    {'top1': 100.0, 'top5': 100.0, 'nll': 0.693..., 'ece': 50.0}
    """
    values, classes = _scores_and_target(log_probs, target, "log_probs")
    return {
        "top1": top_k_accuracy(values, classes, 1),
        "top5": top_k_accuracy(values, classes, 5),
        "nll": negative_log_likelihood(values, classes),
        "ece": expected_calibration_error(values.exp(), classes),
    }


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
    scores, right = _confidence_and_correct(confidence, correct)
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
    scores, right = _confidence_and_correct(confidence, correct)
    if right.all() or not right.any():
        return float("nan")
    # By rank: the area is the same, and an infinite log-probability is a rank like any other.
    return float(roc_auc_score(right, np.unique(scores, return_inverse=True)[1]))


def mistake_severity(predictions: object, targets: object, hierarchy: object) -> float:
    """Mean height of the lowest common ancestor of the true and the predicted class, over the mistakes.

    (Bertinetto et al. 2020.) A class has height 0, its superclass height 1, and so on; the root lies above
    the last level. With one level of superclasses a mistake inside the true superclass counts 1 and any other
    counts 2: the severity less 1 is then the share of mistakes that leave the superclass.

    Args:
        predictions: [N] class ids.
        targets: [N] class ids.
        hierarchy: [C] superclass of each class, or [L, C] for L levels, from fine to coarse.

    Returns:
        From 1 to L + 1; NaN if there is no mistake.

    Raises:
        DataError: the shapes do not fit, or an id is no class of the hierarchy.
        InputError: a level of the hierarchy splits a group of the level below it.

    >>> mistake_severity([1, 3, 2], [0, 0, 2], hierarchy=[0, 0, 1, 1])
    1.5
    """
    levels = np.atleast_2d(_as_integers(hierarchy, "hierarchy"))
    for lower, upper in pairwise(levels):
        pairs = np.unique(np.stack([lower, upper]), axis=1)
        if pairs.shape[1] != np.unique(lower).size:
            raise InputError(
                "a level of the hierarchy splits a group of the level below; order: fine to coarse"
            )
    predicted, true = _as_integers(predictions, "predictions"), _as_integers(targets, "targets")
    if predicted.shape != true.shape or predicted.ndim != 1:
        raise DataError(f"predictions of shape {list(predicted.shape)}, but targets of {list(true.shape)}")
    for name, ids in (("predictions", predicted), ("targets", true)):
        _check_ids(ids, name, levels.shape[1])
    wrong = predicted != true
    if not wrong.any():
        return float("nan")
    heights = 1 + (levels[:, predicted[wrong]] != levels[:, true[wrong]]).sum(axis=0)
    return float(heights.mean())


def _as_tensor(values: object) -> Tensor:
    return (values.detach() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))).cpu()


def _as_integers(values: object, name: str) -> NDArray[np.int64]:
    array = _as_tensor(values).numpy()
    if array.dtype.kind not in "iu":
        raise DataError(f"{name} must be integers, not {array.dtype}")
    return array.astype(np.int64)


def _check_ids(ids: NDArray[np.int64], name: str, num_classes: int) -> None:
    wrong = np.flatnonzero((ids < 0) | (ids >= num_classes))
    if wrong.size:
        raise DataError(f"{name}[{wrong[0]}] is {ids[wrong[0]]}, but the classes are 0 to {num_classes - 1}")


def _scores_and_target(scores: object, target: object, name: str) -> tuple[Tensor, Tensor]:
    """Scores as float32 or float64 [N, C] and targets as int64 [N], on the CPU, checked."""
    values = _as_tensor(scores)
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    classes = _as_integers(target, "target")
    if values.ndim != 2 or classes.shape != values.shape[:1] or not classes.size:
        raise DataError(
            f"{name} of shape {list(values.shape)} and target of shape {list(classes.shape)}; "
            "[N, C] and [N] are wanted, N at least 1"
        )
    _check_ids(classes, "target", values.shape[1])
    if values.isnan().any():
        raise DataError(f"{name} of sample {int(values.isnan().any(dim=1).int().argmax())} are NaN")
    return values, torch.from_numpy(classes)


def _check_distributions(probs: Tensor, name: str) -> None:
    good = (probs >= 0).all(dim=1) & ((probs.sum(dim=1) - 1).abs() <= _SUM_TOLERANCE)
    if not good.all():
        raise DataError(f"{name} of sample {int(good.int().argmin())} are no distribution; are they logits?")


def _confidence_and_correct(
    confidence: object, correct: object
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores = _as_tensor(confidence).double().numpy()
    right = _as_tensor(correct).numpy().astype(np.bool_)
    if scores.ndim != 1 or scores.shape != right.shape or not scores.size:
        raise DataError(
            f"confidence of shape {list(scores.shape)} and correct of shape {list(right.shape)}; "
            "[N] is wanted of both, N at least 1"
        )
    if np.isnan(scores).any():
        raise DataError(f"confidence[{int(np.isnan(scores).argmax())}] is NaN")
    return scores, right
