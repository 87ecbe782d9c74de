"""What a network with branches puts out, and which groupings fit to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ssal.errors import InputError
from ssal.grouping import Grouping


class Outputs(NamedTuple):
    """Logits of all parts for N samples; the same type in training and evaluation.

    Attributes:
        main: [N, C] logits f(x) of the main classifier.
        groups: one tensor [N, k_b] of logits g_b(x) for each branch.
    """

    main: Tensor
    groups: tuple[Tensor, ...] = ()


class Exponents(NamedTuple):
    """Exponents of the joint prediction: η_0 on the main classifier, η_b on each branch."""

    main: float
    branches: tuple[float, ...]


def label_map(grouping: Grouping | Tensor, device: torch.device | None = None) -> Tensor:
    """The map class → group as an int64 tensor [C]; a tensor passes through, so it can stay on its device."""
    if isinstance(grouping, Tensor):
        return grouping
    return torch.tensor(grouping.labels, dtype=torch.int64, device=device)


def check_branches(
    outputs: Outputs, groupings: Sequence[Grouping | Tensor], **per_branch: Sequence[float]
) -> None:
    """Check that groupings, and what else is given for each branch, are those of the branches.

    Args:
        outputs: logits of N samples.
        groupings: one map class → group for each branch.
        **per_branch: more that there must be one of for each branch, by what to call it in an error.

    Raises:
        InputError: they are not as many as branches, or for other classes or groups.
    """
    counts = {"groupings": len(groupings)} | {name: len(values) for name, values in per_branch.items()}
    for name, count in counts.items():
        if count != len(outputs.groups):
            raise InputError(f"{count} {name} given for {len(outputs.groups)} branches")
    for number, (logits, grouping) in enumerate(zip(outputs.groups, groupings, strict=True), start=1):
        # A tensor of labels does not say how many groups there are; to look would make a GPU wait.
        labels, groups = (
            (grouping, None) if isinstance(grouping, Tensor) else (grouping.labels, grouping.num_groups)
        )
        if len(labels) != outputs.main.shape[1]:
            raise InputError(
                f"grouping {number} is for {len(labels)} classes, the main classifier tells "
                f"{outputs.main.shape[1]} apart"
            )
        if groups not in (None, logits.shape[1]):
            raise InputError(
                f"grouping {number} has {groups} groups, but branch {number} logits for {logits.shape[1]}"
            )


def check_samples(outputs: Outputs, target: Tensor) -> None:
    """Check that something can be fitted to these samples.

    Args:
        outputs: logits of N samples.
        target: true classes, int64 [N].

    Raises:
        InputError: there is not one target for each sample, or a logit is not finite.
    """
    samples = len(outputs.main)
    if len(target) != samples:
        raise InputError(f"{len(target)} targets given for {samples} samples")
    for name, logits in (("the main classifier", outputs.main), *_numbered(outputs.groups)):
        if not bool(logits.isfinite().all()):
            raise InputError(f"logits of {name} are not all finite")


def _numbered(groups: Sequence[Tensor]) -> list[tuple[str, Tensor]]:
    return [(f"branch {number}", logits) for number, logits in enumerate(groups, start=1)]
