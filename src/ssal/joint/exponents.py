"""Exponents of the joint prediction, fitted to held-out samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from ssal.errors import InputError
from ssal.grouping import Grouping
from ssal.joint.outputs import Exponents, Outputs, check_branches, check_samples, label_map

# Rows are worked on in chunks of about this many class scores, to bound the memory of the float64 fit.
_CHUNK = 1 << 22
# On separable data the likelihood rises for ever with the exponents; beyond this nothing changes any more.
_LARGEST_EXPONENT = 100.0


def _log_parts(outputs: Outputs, groupings: Sequence[Grouping | Tensor], rows: slice) -> Tensor:
    """Log-probabilities of every part for every class, float64 [B + 1, rows, C]."""
    parts = [F.log_softmax(outputs.main[rows].double(), dim=1)]
    for logits, grouping in zip(outputs.groups, groupings, strict=True):
        parts.append(F.log_softmax(logits[rows].double(), dim=1)[:, label_map(grouping, logits.device)])
    return torch.stack(parts)


def _chunks(outputs: Outputs) -> Iterator[slice]:
    samples, classes = outputs.main.shape
    step = max(1, _CHUNK // (classes * (1 + len(outputs.groups))))
    for start in range(0, samples, step):
        yield slice(start, start + step)


@torch.no_grad()
def joint_nll(
    values: NDArray[np.float64], outputs: Outputs, target: Tensor, groupings: Sequence[Grouping | Tensor]
) -> tuple[float, NDArray[np.float64]]:
    """Mean negative log-likelihood of the joint prediction and its gradient, in float64.

    Args:
        values: exponents (η_0, η_1 … η_B).
        outputs: logits of N samples.
        target: true classes, int64 [N].
        groupings: one map class → group for each branch.

    Returns:
        The loss and its gradient [B + 1]; both are convex in `values`.
    """
    exponents = torch.as_tensor(values, dtype=torch.float64, device=target.device)
    loss = torch.zeros((), dtype=torch.float64, device=target.device)
    gradient = torch.zeros_like(exponents)
    for rows in _chunks(outputs):
        parts = _log_parts(outputs, groupings, rows)
        true = target[rows, None]
        log_prob = F.log_softmax(torch.tensordot(exponents, parts, dims=1), dim=1)
        loss -= log_prob.gather(1, true).sum()
        expected = (parts * log_prob.exp()).sum(dim=(1, 2))
        gradient += expected - parts.gather(2, true.expand(len(parts), -1, 1)).sum(dim=(1, 2))
    return float(loss) / len(target), gradient.cpu().numpy() / len(target)


def fit_exponents(
    outputs: Outputs,
    target: Tensor,
    groupings: Sequence[Grouping | Tensor],
    largest: float = _LARGEST_EXPONENT,
) -> Exponents:
    """Fit the exponents of the joint prediction to held-out samples.

    The negative log-likelihood is convex in (η_0, η_1 … η_B), so that the minimum found is the global one
    under 0 ≤ η ≤ `largest`. Where a part is right on every sample, the likelihood rises with its exponent
    for ever: with few samples a lower bound keeps the prediction from being far too sure.

    Args:
        outputs: logits of N held-out samples; no gradient goes into them.
        target: their true classes, int64 [N].
        groupings: one map class → group for each branch.
        largest: upper bound of each exponent.

    Raises:
        InputError: there is no sample, or not one target for each; a logit is not finite; or the groupings
            are not those of the branches.
    """
    check_branches(outputs, groupings)
    if len(target) == 0:
        raise InputError("exponents need at least one held-out sample, got none")
    check_samples(outputs, target)
    start = np.full(1 + len(outputs.groups), min(largest, 1 / (1 + len(outputs.groups))))
    result = minimize(
        joint_nll,
        start,
        args=(outputs, target, groupings),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, largest)] * len(start),
        options={"gtol": 1e-9, "ftol": 1e-15, "maxiter": 1000},
    )
    main, *branches = (float(value) for value in result.x)
    return Exponents(main, tuple(branches))
