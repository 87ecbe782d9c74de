"""How often predictions are right, and how probable the truth is in them."""

from __future__ import annotations

from ssal.errors import InputError
from ssal.metrics.calibration import expected_calibration_error
from ssal.metrics.inputs import check_distributions, scores_and_target


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
    values, classes = scores_and_target(scores, target, "scores")
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

    >>> import numpy as np
    >>> negative_log_likelihood(np.log([[0.5, 0.5], [0.25, 0.75]]), [0, 1])
    0.490...
    """
    values, classes = scores_and_target(log_probs, target, "log_probs")
    check_distributions(values.exp(), "log_probs")
    return -float(values.gather(1, classes[:, None]).double().mean())


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
    values, classes = scores_and_target(probs, target, "probs")
    check_distributions(values, "probs")
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

    >>> import numpy as np
    >>> summarise(np.log([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), [0, 1])
    {'top1': 100.0, 'top5': 100.0, 'nll': 0.693..., 'ece': 50.0}
    """
    values, classes = scores_and_target(log_probs, target, "log_probs")
    return {
        "top1": top_k_accuracy(values, classes, 1),
        "top5": top_k_accuracy(values, classes, 5),
        "nll": negative_log_likelihood(values, classes),
        "ece": expected_calibration_error(values.exp(), classes),
    }
