"""What one step of a training lowers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from ssal.joint import Outputs, ssal_loss
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
    """The joint loss of all parts (Equation 3).

    Attributes:
        main_weight: λ_0; the weights λ_b of the branches are the model's.
        label_smoothing: share of each target spread over all classes, or groups.
    """

    main_weight: float = 1.0
    label_smoothing: float = 0.0

    def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
        """Cross-entropies of all parts, weighted and summed."""
        outputs: Outputs = model(images)
        weights = [spec.weight for spec in model.specs]
        loss = ssal_loss(outputs, targets, model.labels, weights, self.main_weight, self.label_smoothing)
        return Step(loss, outputs)
