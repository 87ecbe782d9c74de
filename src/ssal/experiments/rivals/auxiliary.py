"""Auxiliary training (Zhang et al., CVPR 2020, "Towards Accurate and Robust Models").

Besides the clean images, corrupted copies of them (blur, noise, colour, rotation) go through the shared body,
each kind to an auxiliary classifier of its own: attention, bottleneck, linear layer. The loss is

    CE(main(x), y) + Σ_i α·CE(aux_i(x_i), y) + Σ_i β·CE(aux_i(x_i), main(x)) + Σ_i ‖W_i − W_main‖²

the third term being self-distillation, the fourth drawing the last linear layers together at the end of the
training. Selective batch norm: clean and corrupted images are normalised apart, and only the clean ones enter
the running statistics. Auxiliary parts are dropped at prediction.

Taken from the authors' code: α = β = 0.05; the main classifier is the fixed target of the distillation; the
last term has weight 1 and enters for the last seventh of the training (epochs 180 to 210); the kinds and
strengths of the corruptions; scale and shift of the norms are shared. Chosen here: maps are padded, so that
small ones fit; the hue is left alone; images are corrupted after shift and flip.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssal.branches.inception import conv_bn_relu
from ssal.errors import InputError
from ssal.experiments.rivals.corruption import COUNT, Corruption
from ssal.experiments.rivals.surgery import TappedBackbone, classifier_name, deepest_maps
from ssal.joint import Outputs
from ssal.model import GroupedNetwork
from ssal.taps import find_layer, output_size
from ssal.training import Step


class AuxiliaryClassifier(nn.Module):
    """Attention, bottleneck, pooling and a linear layer to the classes.

    Args:
        channels: C of the maps [N, C, H, W].
        features: inputs of the linear layer, as many as the main classifier has.
        classes: K.
    """

    def __init__(self, channels: int, features: int, classes: int) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.attention = nn.Sequential(
            conv_bn_relu(channels, channels, (3, 3)),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.Sigmoid(),
        )
        self.bottleneck = nn.Sequential(
            conv_bn_relu(channels, half, (1, 1)),
            conv_bn_relu(half, half, (3, 3)),
            conv_bn_relu(half, features, (1, 1)),
        )
        self.head = nn.Linear(features, classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits [N, K]."""
        return self.head(self.bottleneck(self.attention(maps) * maps).mean(dim=(2, 3)))


@contextmanager
def frozen_statistics(model: nn.Module) -> Generator[None]:
    """Batch norms normalise with the batch at hand and leave their running statistics alone."""
    norms: list[Any] = [
        module for module in model.modules() if getattr(module, "track_running_stats", False) is True
    ]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


class AuxiliaryNetwork(GroupedNetwork):
    """A classifier with one auxiliary classifier for each kind of corruption, used in training only.

    Args:
        backbone: a classifier that ends in a linear layer.
        input_shape: shape of one sample.

    Attributes:
        steps: training steps so far.

    Raises:
        InputError: the backbone does not end in a linear layer, or delivers no maps before it.
    """

    steps: Tensor

    def __init__(self, backbone: nn.Module, input_shape: Sequence[int] = (3, 32, 32)) -> None:
        classes = output_size(backbone, input_shape)
        super().__init__((), classes, input_shape)
        self.trunk = TappedBackbone(backbone, [deepest_maps(backbone, input_shape)], input_shape)
        self.classifier = classifier_name(backbone, input_shape)
        features, channels = self.main_head.in_features, self.trunk.shapes[0].channels
        self.branches = nn.ModuleList(AuxiliaryClassifier(channels, features, classes) for _ in range(COUNT))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @property
    def main_head(self) -> nn.Linear:
        """The last linear layer of the backbone."""
        return cast(nn.Linear, find_layer(self.trunk.backbone, self.classifier))

    def forward(self, images: Tensor) -> Outputs:
        """Class logits of images [N, *input_shape]."""
        return Outputs(self.trunk(images)[0])

    def auxiliary(self, copies: Sequence[Tensor]) -> list[Tensor]:
        """Logits [N, K] of each auxiliary classifier for its corrupted copies of a batch."""
        with frozen_statistics(self.trunk):
            return [
                branch(self.trunk(copy)[1][0]) for branch, copy in zip(self.branches, copies, strict=True)
            ]

    def weight_distance(self) -> Tensor:
        """Sum of the squared differences between the last linear layers, auxiliary and main."""
        main = self.main_head
        heads = [cast(AuxiliaryClassifier, branch).head for branch in self.branches]
        return torch.stack(
            [
                (head.weight - main.weight).square().sum() + (head.bias - main.bias).square().sum()
                for head in heads
            ]
        ).sum()


@dataclass(frozen=True)
class AuxiliaryLoss:
    """The loss of auxiliary training.

    Attributes:
        corruption: makes the copies of a batch.
        attraction_start: step from which on the last linear layers are drawn together.
        label_weight: α.
        distillation_weight: β.
        attraction_weight: weight of the last term.
        label_smoothing: share of each target spread over all classes.
    """

    corruption: Corruption
    attraction_start: int
    label_weight: float = 0.05
    distillation_weight: float = 0.05
    attraction_weight: float = 1.0
    label_smoothing: float = 0.0

    def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
        """One pass for the clean images, one for each kind of corruption."""
        if not isinstance(model, AuxiliaryNetwork):
            raise InputError(f"auxiliary training needs an AuxiliaryNetwork, not {type(model).__name__}")
        outputs = model(images)
        smoothing = self.label_smoothing
        loss = F.cross_entropy(outputs.main, targets, label_smoothing=smoothing)
        soft = outputs.main.detach().float().softmax(dim=1)
        for logits in model.auxiliary(self.corruption(images)):
            loss = loss + self.label_weight * F.cross_entropy(logits, targets, label_smoothing=smoothing)
            loss = loss + self.distillation_weight * F.cross_entropy(logits, soft)
        if int(model.steps) >= self.attraction_start:
            loss = loss + self.attraction_weight * model.weight_distance()
        model.steps += 1
        return Step(loss, outputs)
