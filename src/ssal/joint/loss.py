"""Losses of joint training: of all parts, and of the main classifier that learns from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssal.grouping import Grouping
from ssal.joint.outputs import Outputs, check_branches, label_map
from ssal.joint.prediction import joint_log_prob


def ssal_loss(
    outputs: Outputs,
    target: Tensor,
    groupings: Sequence[Grouping | Tensor],
    weights: Sequence[float],
    main_weight: float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Weighted sum of the cross-entropies of all parts (Equation 3).

    Args:
        outputs: logits [N, C] and [N, k_b].
        target: true classes, int64 [N].
        groupings: one map class → group for each branch.
        weights: λ_b for each branch.
        main_weight: λ_0.
        label_smoothing: share of the target spread over all classes (or groups).

    Returns:
        Scalar, mean over the samples.

    Raises:
        InputError: the groupings or the number of weights are not those of the branches.
    """
    check_branches(outputs, groupings, weights=weights)
    loss = main_weight * F.cross_entropy(outputs.main, target, label_smoothing=label_smoothing)
    for logits, grouping, weight in zip(outputs.groups, groupings, weights, strict=True):
        group_target = label_map(grouping, target.device)[target]
        loss = loss + weight * F.cross_entropy(logits, group_target, label_smoothing=label_smoothing)
    return loss


def distillation_loss(
    outputs: Outputs, groupings: Sequence[Grouping | Tensor], taught_by: Sequence[bool], temperature: float
) -> Tensor:
    """T²·KL(p_T ‖ q_T) of the main classifier, q, to what all parts say together, p (Hinton et al., 2015).

    p is the normalised geometric mean of the main classifier and the branches: the joint prediction with
    equal exponents that sum to one, since η = 1 for each would make it far too sure. p_T and q_T are at
    temperature T. No gradient goes into p.

    Args:
        outputs: logits [N, C] and [N, k_b].
        groupings: one map class → group for each branch.
        taught_by: for each branch, whether it takes part in p.
        temperature: T, positive.

    Returns:
        Scalar, mean over the samples.

    Raises:
        InputError: there are not as many groupings or values of `taught_by` as branches.
    """
    share = 1 / (temperature * (1 + sum(taught_by)))
    with torch.no_grad():
        exponents = [share * takes_part for takes_part in taught_by]
        teacher = joint_log_prob(outputs, groupings, exponents, share)
    student = F.log_softmax(outputs.main.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher.float(), reduction="batchmean", log_target=True)
