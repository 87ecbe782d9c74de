"""What one step of a training lowers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from ssal.joint import Outputs, distillation_loss, ssal_loss
from ssal.model import GroupedNetwork


class Step(NamedTuple):
    """Loss of a batch, a scalar, and the outputs that it was taken from."""

    loss: Tensor
    outputs: Outputs


class Objective(Protocol):
    """Loss of a batch, the forward pass included, so that an objective may change the images."""

    def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
        """Return the loss for `images` [N, C, H, W] and their classes `targets` [N]."""
        ...


class KeptObjective(nn.Module):
    """An objective with a state of its own: its buffers go into the checkpoints of the training.

    `forward` is the call of an `Objective`.
    """

    def restore(self, model: GroupedNetwork) -> None:
        """Bring the model to what the state says, before a training starts or goes on; nothing by default."""


@dataclass(frozen=True)
class JointLoss:
    """The joint loss of all parts (Equation 3), and what the main classifier learns from all of them.

    Attributes:
        main_weight: λ_0; the weights λ_b of the branches are the model's.
        label_smoothing: share of each target spread over all classes, or groups.
        distillation: weight of the distillation of the joint prediction into the main classifier.
        temperature: of that distillation.
    """

    main_weight: float = 1.0
    label_smoothing: float = 0.0
    distillation: float = 0.0
    temperature: float = 2.0

    def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
        """Cross-entropies of all parts, weighted and summed."""
        outputs: Outputs = model(images)
        return Step(self.of(outputs, targets, model.labels, [spec.weight for spec in model.specs]), outputs)

    def of(
        self, outputs: Outputs, targets: Tensor, labels: Sequence[Tensor], weights: Sequence[float]
    ) -> Tensor:
        """The loss of outputs that are there already; branches of weight 0 teach nothing."""
        loss = ssal_loss(outputs, targets, labels, weights, self.main_weight, self.label_smoothing)
        teachers = [weight > 0 for weight in weights]
        if self.distillation and any(teachers):
            taught = distillation_loss(outputs, labels, teachers, self.temperature)
            loss = loss + self.distillation * taught
        return loss
