"""A fused branch taken apart: its last layer is linear, so that what each vector adds is known exactly."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from ssal.branches import BranchNet
from ssal.evidence.evidence import BIAS, OWN, Share
from ssal.model import SSALModel


class _Hook:
    """Forward pre-hook that keeps what a layer is given."""

    def __init__(self, found: dict[int, Tensor], number: int) -> None:
        self.found, self.number = found, number

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.found[self.number] = args[0].detach()


@contextmanager
def watching_fused(model: SSALModel) -> Generator[dict[int, Tensor]]:
    """Collect what the last layers of fused branches read, [N, D], by the number of the branch, from 0."""
    found: dict[int, Tensor] = {}
    branches = zip(model.branches, model.specs, strict=True)
    handles = [
        branch.head.register_forward_pre_hook(_Hook(found, number))
        for number, (branch, spec) in enumerate(branches)
        if spec.fused and isinstance(branch, BranchNet)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


class _OwnPath:
    """Hooks that let gradients of a fused branch into its own vector, and no other that its head reads."""

    def __init__(self, branch: BranchNet) -> None:
        self.handles = (
            branch.body.register_forward_hook(self.keep),
            branch.head.register_forward_pre_hook(self.replace),
        )

    def keep(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self.own = output

    def replace(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Tensor]:
        # Not a slice of what the head reads: its graph would hold all that was put together there.
        return (torch.cat([self.own, args[0][:, self.own.shape[1] :].detach()], dim=1),)


@contextmanager
def own_features(model: SSALModel) -> Generator[None]:
    """Within, what a fused branch says has gradients by way of its own features only; its values stay."""
    branches = zip(model.branches, model.specs, strict=True)
    paths = [_OwnPath(branch) for branch, spec in branches if spec.fused and isinstance(branch, BranchNet)]
    try:
        yield
    finally:
        for path in paths:
            for handle in path.handles:
                handle.remove()


def part_logits(model: SSALModel, images: Tensor, part: int) -> Tensor:
    """Logits [N, K] of one part, main classifier first, whose gradients lead to where it looked itself."""
    with own_features(model):
        outputs = model(images)
    return (outputs.main, *outputs.groups)[part]


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
