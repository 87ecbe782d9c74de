"""What one training does, as a small frozen object, and the optimiser and schedule that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from timm.optim import param_groups_weight_decay
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ssal.model import GroupedNetwork

Precision = Literal["bf16", "32"]
OptimizerName = Literal["sgd", "adamw"]


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of one training.

    Attributes:
        epochs: passes over the training data.
        lr: peak learning rate.
        peak: where the peak lies, as a share of all steps, 0 ≤ peak < 1.
        optimizer: `sgd`, or `adamw` (Loshchilov and Hutter, 2019).
        momentum: momentum of SGD; of AdamW its first beta, the second is 0.999.
        nesterov: whether the momentum of SGD is Nesterov's.
        weight_decay: decay of weights; norms, biases, and what timm exempts of a network are never decayed.
        branch_weight_decay: decay of the branches' weights; as the backbone if None.
        clip_norm: largest norm of the whole gradient; no limit if None.
        label_smoothing: share of each target spread over all classes, or groups.
        main_weight: λ_0.
        ema: decay of the averaged weights; no average if None.
        precision: `bf16` for autocast to bfloat16, `32` for single precision.
        devices: processes, one a device.
        compile: compile the model before training.
        seed: seed of weights, order and augmentation; recorded in checkpoints.
    """

    epochs: int
    lr: float = 0.1
    peak: float = 0.2
    optimizer: OptimizerName = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    branch_weight_decay: float | None = None
    clip_norm: float | None = None
    label_smoothing: float = 0.0
    main_weight: float = 1.0
    ema: float | None = None
    precision: Precision = "32"
    devices: int = 1
    compile: bool = False
    seed: int = 0


def triangular(step: int, total: int, peak: float) -> float:
    """Learning rate at `step` of `total`, as a share of its peak.

    Rises linearly to 1 at `peak·total` and falls linearly to 0 at `total`; the first step already moves.

    >>> [round(triangular(step, 10, 0.2), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.125]
    """
    rising = peak * total
    if step + 1 < rising:
        return (step + 1) / rising
    return min(1.0, (total - step) / (total - rising))


def _decayed(module: nn.Module, decay: float) -> Iterable[dict[str, Any]]:
    """Parameter groups with and without decay, empty ones left out."""
    spared: Callable[[], Iterable[str]] = getattr(module, "no_weight_decay", tuple)
    groups = param_groups_weight_decay(module, weight_decay=decay, no_weight_decay_list=set(spared()))
    return [group for group in groups if group["params"]]


def make_optimizer(model: GroupedNetwork, plan: TrainingPlan) -> Optimizer:
    """The optimiser of all parameters; norms, biases and what a network of timm's exempts are not decayed."""
    branch_decay = plan.weight_decay if plan.branch_weight_decay is None else plan.branch_weight_decay
    others = [part for part in model.children() if part is not model.branches]
    groups = [group for part in others for group in _decayed(part, plan.weight_decay)]
    groups += _decayed(model.branches, branch_decay)
    if plan.optimizer == "adamw":
        return AdamW(groups, lr=plan.lr, betas=(plan.momentum, 0.999), fused=True)
    nesterov = plan.nesterov and plan.momentum > 0
    return SGD(groups, lr=plan.lr, momentum=plan.momentum, nesterov=nesterov, fused=True)


def make_schedule(optimizer: Optimizer, plan: TrainingPlan, steps: int) -> LambdaLR:
    """The triangular schedule over `steps` optimiser steps."""
    return LambdaLR(optimizer, lambda step: triangular(step, steps, plan.peak))
