"""Arrays and tensors of any kind as what the metrics compute with, checked."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssal.errors import DataError

# bfloat16 log-probabilities still sum to one within this; logits do not.
_SUM_TOLERANCE = 0.05


def as_tensor(values: object) -> Tensor:
    """Values as a detached tensor on the CPU."""
    return (values.detach() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))).cpu()


def as_integers(values: object, name: str) -> NDArray[np.int64]:
    """Values as int64; raises DataError if they are no integers."""
    array = as_tensor(values).numpy()
    if array.dtype.kind not in "iu":
        raise DataError(f"{name} must be integers, not {array.dtype}")
    return array.astype(np.int64)


def check_ids(ids: NDArray[np.int64], name: str, num_classes: int) -> None:
    """Raise DataError for the first id that is no class."""
    wrong = np.flatnonzero((ids < 0) | (ids >= num_classes))
    if wrong.size:
        raise DataError(f"{name}[{wrong[0]}] is {ids[wrong[0]]}, but the classes are 0 to {num_classes - 1}")


def scores_and_target(scores: object, target: object, name: str) -> tuple[Tensor, Tensor]:
    """Scores as float32 or float64 [N, C] and targets as int64 [N], on the CPU, checked."""
    values = as_tensor(scores)
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    classes = as_integers(target, "target")
    if values.ndim != 2 or classes.shape != values.shape[:1] or not classes.size:
        raise DataError(
            f"{name} of shape {list(values.shape)} and target of shape {list(classes.shape)}; "
            "[N, C] and [N] are wanted, N at least 1"
        )
    check_ids(classes, "target", values.shape[1])
    if values.isnan().any():
        raise DataError(f"{name} of sample {int(values.isnan().any(dim=1).int().argmax())} are NaN")
    return values, torch.from_numpy(classes)


def check_distributions(probs: Tensor, name: str) -> None:
    """Raise DataError for the first row that is no distribution."""
    good = (probs >= 0).all(dim=1) & ((probs.sum(dim=1) - 1).abs() <= _SUM_TOLERANCE)
    if not good.all():
        raise DataError(f"{name} of sample {int(good.int().argmin())} are no distribution; are they logits?")


def confidence_and_correct(
    confidence: object, correct: object
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidence as float64 [N] and correctness as bool [N], checked."""
    scores = as_tensor(confidence).double().numpy()
    right = as_tensor(correct).numpy().astype(np.bool_)
    if scores.ndim != 1 or scores.shape != right.shape or not scores.size:
        raise DataError(
            f"confidence of shape {list(scores.shape)} and correct of shape {list(right.shape)}; "
            "[N] is wanted of both, N at least 1"
        )
    if np.isnan(scores).any():
        raise DataError(f"confidence[{int(np.isnan(scores).argmax())}] is NaN")
    return scores, right
