"""A fused branch taken apart: its last layer is linear, so that what each vector adds is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from ssal.branches import BranchNet
from ssal.evidence.evidence import BIAS, OWN, Share
from ssal.model import SSALModel


def shares_of(
    model: SSALModel, number: int, vector: Tensor, exponent: float, candidates: Sequence[int]
) -> tuple[Share, ...]:
    """What each vector that a fused branch reads adds to the leads of the winner.

    Of the logits z = W·v + b, the difference between two rows is a sum over the pieces of v, its own and one
    of each other branch, and that of b; the normaliser of log p falls out of it.

    Args:
        model: the model.
        number: of the fused branch, from 0.
        vector: what its last layer reads, [D]: its own vector, then those of the other branches in order.
        exponent: η of the branch.
        candidates: classes, the winner first.

    Returns:
        The other branches in their order, the branch's own vector, and the bias. Together they are the leads
        of the branch, up to the rounding of the model's precision. None where the exponent is 0.
    """
    if exponent == 0:
        return ()
    head = cast(BranchNet, model.branches[number]).head
    others = model.reads[number][1:]
    found = [cast(BranchNet, model.branches[index]).head.in_features for index in others]
    sizes = [head.in_features - sum(found), *found]
    rows = model.labels[number][list(candidates)]
    weight = head.weight[rows].double()
    columns = (weight[0] - weight).split(sizes, dim=1)
    pieces = vector.double().split(sizes)
    own, *leads = (exponent * (column @ piece) for column, piece in zip(columns, pieces, strict=True))
    names = model.branch_names
    shares = [
        *(Share(names[index], index + 1, _values(lead)) for index, lead in zip(others, leads, strict=True)),
        Share(OWN, number + 1, _values(own)),
    ]
    bias = cast(Tensor | None, head.bias)
    if bias is not None:
        chosen = bias[rows].double()
        shares.append(Share(BIAS, None, _values(exponent * (chosen[0] - chosen))))
    return tuple(shares)


def _values(leads: Tensor) -> tuple[float, ...]:
    return tuple(leads.tolist())
