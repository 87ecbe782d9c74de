"""Hooks on fused branches: what their heads are given, and gradients by way of their own features alone."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ssal.branches import BranchNet
from ssal.model import SSALModel


def _fused_branches(model: SSALModel) -> list[tuple[int, BranchNet]]:
    """The fused branches with a head of their own, and their numbers, from 0."""
    branches = enumerate(zip(model.branches, model.specs, strict=True))
    return [
        (number, branch)
        for number, (branch, spec) in branches
        if spec.fused and isinstance(branch, BranchNet)
    ]


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
    handles = [
        branch.head.register_forward_pre_hook(_Hook(found, number))
        for number, branch in _fused_branches(model)
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
    paths = [_OwnPath(branch) for _, branch in _fused_branches(model)]
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
