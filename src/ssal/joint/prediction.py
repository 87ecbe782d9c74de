"""The joint prediction: the normalised product of what all parts say."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ssal.grouping import Grouping
from ssal.joint.outputs import Outputs, check_branches, label_map


def joint_log_prob(
    outputs: Outputs,
    groupings: Sequence[Grouping | Tensor],
    exponents: Sequence[float],
    main_exponent: float = 1.0,
) -> Tensor:
    """Joint log-probability of the classes: log_softmax(η_0·log p_f + Σ_b η_b·log p_b[γ_b]) (§3.4).

    The paper takes the softmax of the product of probabilities; this is the normalised product itself. Parts
    with exponent 0 take no part, so that all zeros give exactly the main classifier.

    Args:
        outputs: logits [N, C] and [N, k_b].
        groupings: one map class → group for each branch.
        exponents: η_b for each branch.
        main_exponent: η_0.

    Returns:
        [N, C], each row sums to one in probability.

    Raises:
        InputError: the groupings or the number of exponents are not those of the branches.
    """
    check_branches(outputs, groupings, exponents=exponents)
    main = F.log_softmax(outputs.main, dim=1)
    total = main if main_exponent == 1 else main * main_exponent
    for logits, grouping, exponent in zip(outputs.groups, groupings, exponents, strict=True):
        if exponent != 0:
            evidence = F.log_softmax(logits, dim=1) * exponent
            total = total + evidence.index_select(1, label_map(grouping, logits.device))
    return main if total is main else F.log_softmax(total, dim=1)
