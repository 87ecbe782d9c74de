"""The joint log-probability as a sum of terms, one for each part."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssal.errors import InputError
from ssal.grouping import Grouping
from ssal.joint import Exponents, Outputs, label_map

# Classes of the same groups get the same terms, up to rounding.
_TIE = 1e-9


def class_terms(outputs: Outputs, groupings: Sequence[Grouping | Tensor], exponents: Exponents) -> Tensor:
    """What each part adds to the joint log-probability of each class, before normalisation (§3.4).

    `joint_log_prob` is the log-softmax of the sum over the parts.

    >>> outputs = Outputs(torch.tensor([[2.0, 1.0, 0.0]]), (torch.tensor([[0.0, 1.0]]),))
    >>> terms = class_terms(outputs, [Grouping.from_labels([0, 1, 1])], Exponents(1.0, (2.0,)))
    >>> terms[0, 0].argmax().item(), terms[0].sum(dim=0).argmax().item()  # the branch changes the answer
    (0, 1)

    Args:
        outputs: logits [N, C] and [N, k_b] of N samples.
        groupings: one map class → group for each branch.
        exponents: η_0 and η_b.

    Returns:
        float64 [N, B + 1, C]: η_0·log p_f, then η_b·log p_b[γ_b]. A part with exponent 0 adds exactly 0.

    Raises:
        InputError: the number of groupings or exponents is not that of the branches.
    """
    for kind, values in (("groupings", groupings), ("exponents", exponents.branches)):
        if len(values) != len(outputs.groups):
            raise InputError(f"{len(values)} {kind} given for {len(outputs.groups)} branches")
    parts = [_weighted(outputs.main, exponents.main)]
    for logits, grouping, exponent in zip(outputs.groups, groupings, exponents.branches, strict=True):
        parts.append(_weighted(logits, exponent)[:, label_map(grouping, logits.device)])
    return torch.stack(parts, dim=1)


def _weighted(logits: Tensor, exponent: float) -> Tensor:
    """η·log p in float64; 0 · log 0 counts as 0."""
    scores = F.log_softmax(logits.double(), dim=1)
    return scores * exponent if exponent != 0 else torch.zeros_like(scores)


def winners_without(terms: Tensor) -> list[tuple[int, ...]]:
    """The classes that would come first if one part were left out, for each part of one sample.

    Args:
        terms: [B + 1, C] of one sample, as `class_terms` gives them.

    Returns:
        For each part the ids of the classes in first place, ascending; none where the other parts are silent.
    """
    winners: list[tuple[int, ...]] = []
    for index in range(len(terms)):
        rest = torch.cat([terms[:index], terms[index + 1 :]])
        totals = rest.sum(dim=0)
        first = totals >= totals.max() - _TIE
        winners.append(tuple(first.nonzero()[:, 0].tolist()) if bool(rest.any()) else ())
    return winners
