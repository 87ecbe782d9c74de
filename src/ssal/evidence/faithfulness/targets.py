"""What is explained for each image, and how probable the parts find it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ssal.errors import DataError
from ssal.evidence.terms import class_terms
from ssal.joint import Exponents, Outputs


class Targets(NamedTuple):
    """Classes and groups of N images, int64 [B + 1, N]; row 0 is the main classifier, row b branch b.

    Attributes:
        own: what each part's map explains: the class that wins the joint prediction, and the group that the
            branch predicts.
        winner: the class that wins and, for each branch, the group that holds it.
        other: another class or group than in `own`, drawn at random.
        rival: the other class of row 0 and, for each branch, the group that holds it.
    """

    own: Tensor
    winner: Tensor
    other: Tensor
    rival: Tensor


def _another(targets: Tensor, count: int, generator: torch.Generator) -> Tensor:
    steps = torch.randint(1, count, (len(targets),), generator=generator)
    return (targets + steps.to(targets.device)) % count


def choose_targets(
    outputs: Outputs, labels: Sequence[Tensor], exponents: Exponents, generator: torch.Generator
) -> Targets:
    """Choose what to explain, as `ssal.evidence.explain` does, and something else to compare it with.

    Args:
        outputs: logits [N, C] and [N, k_b] of N images.
        labels: the map class → group [C] of each branch.
        exponents: η_0 and η_b of the joint prediction.
        generator: draws the other classes and groups, on the CPU.

    Raises:
        DataError: the network gives numbers that are not finite.
    """
    totals = class_terms(outputs, labels, exponents).sum(dim=1)
    bad = ~totals.isfinite().all(dim=1)
    if bool(bad.any()):
        raise DataError(f"the network gives no finite numbers for {int(bad.sum())} of {len(bad)} images")
    winner = totals.argmax(dim=1)
    parts = (outputs.main, *outputs.groups)
    own = torch.stack([winner, *(logits.argmax(dim=1) for logits in outputs.groups)])
    other = torch.stack(
        [_another(row, logits.shape[1], generator) for row, logits in zip(own, parts, strict=True)]
    )
    return Targets(
        own=own,
        winner=torch.stack([winner, *(label[winner] for label in labels)]),
        other=other,
        rival=torch.stack([other[0], *(label[other[0]] for label in labels)]),
    )


def probabilities(outputs: Outputs, labels: Sequence[Tensor], exponents: Exponents, own: Tensor) -> Tensor:
    """How probable each part, and all together, find what is explained.

    Args:
        outputs: logits of N images.
        labels: the map class → group [C] of each branch.
        exponents: η_0 and η_b of the joint prediction.
        own: what is explained for these images, int64 [B + 1, N], as in `Targets.own`.

    Returns:
        float64 [N, B + 2]: p_f and p_b of that, then the joint probability of the class in row 0.
    """
    parts = [
        logits.double().softmax(dim=1).gather(1, row[:, None])
        for logits, row in zip((outputs.main, *outputs.groups), own, strict=True)
    ]
    joint = class_terms(outputs, labels, exponents).sum(dim=1).softmax(dim=1)
    return torch.cat([*parts, joint.gather(1, own[0][:, None])], dim=1)
