"""How far the probabilities of each way of prediction can be taken at their word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssal.joint import Outputs, joint_log_prob
from ssal.metrics import (
    Gain,
    brier_score,
    expected_calibration_error,
    mean_gain,
    negative_log_likelihood,
    reliability,
)


def unfitted_ways(
    outputs: Outputs, labels: tuple[Tensor, ...], exponent_alone: float | None
) -> dict[str, Tensor]:
    """Ways of prediction to compare the fitted product with, as log-probabilities [N, C].

    `JP1` has all exponents 1, as in the paper's first experiments; `TR_scaled` is the main classifier with a
    temperature fitted to the held-out part: what the branches add to the probabilities shows against it.

    Args:
        outputs: logits [N, C] and [N, k_b].
        labels: one map class → group [C] for each branch.
        exponent_alone: 1 / temperature; without it, there is no `TR_scaled`.
    """
    ways = {"JP1": joint_log_prob(outputs, labels, (1.0,) * len(labels))}
    if exponent_alone is not None:
        ways["TR_scaled"] = torch.log_softmax(exponent_alone * torch.log_softmax(outputs.main, dim=1), dim=1)
    return ways


def calibration(ways: Mapping[str, Tensor], target: Tensor) -> dict[str, dict[str, Any]]:
    """NLL, ECE (percent), Brier score and the bins of a reliability diagram (0–1) of each way.

    Args:
        ways: log-probabilities [N, C].
        target: true classes [N].
    """
    result: dict[str, dict[str, Any]] = {}
    for way, log_prob in ways.items():
        probs = log_prob.exp()
        bins = reliability(probs, target)
        result[way] = {
            "nll": negative_log_likelihood(log_prob, target),
            "ece": expected_calibration_error(probs, target),
            "brier": brier_score(probs, target),
            "reliability": {
                "count": bins.count.tolist(),
                "confidence": _or_none(bins.confidence),
                "accuracy": _or_none(bins.accuracy),
            },
        }
    return result


def _or_none(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def likelihood_gains(ways: Mapping[str, Tensor], target: Tensor) -> dict[str, dict[str, float]]:
    """By how much the joint prediction lowers the mean NLL of the other ways, with 95 % intervals.

    Args:
        ways: log-probabilities [N, C], those of `JP` among them.
        target: true classes [N].
    """
    losses = {
        way: -log_prob.gather(1, target[:, None]).squeeze(1).double().numpy()
        for way, log_prob in ways.items()
    }
    return {
        way: as_dict(mean_gain(losses["JP"], loss))
        for way, loss in losses.items()
        if way in ("baseline", "TR", "TR_scaled")
    }


def as_dict(gain: Gain) -> dict[str, float]:
    """A gain as plain values."""
    return gain._asdict()


def repairs(ways: Mapping[str, Tensor], target: Tensor) -> dict[str, dict[str, int]]:
    """How many errors of other ways the joint prediction repairs, and how many it causes.

    Args:
        ways: log-probabilities [N, C], those of `JP` among them.
        target: true classes [N].
    """
    right = {way: log_prob.argmax(dim=1) == target for way, log_prob in ways.items()}
    return {
        way: {
            "repaired": int((right["JP"] & ~right[way]).sum()),
            "caused": int((~right["JP"] & right[way]).sum()),
        }
        for way in ("baseline", "TR")
        if way in right
    }
