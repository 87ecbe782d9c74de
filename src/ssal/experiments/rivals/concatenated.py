"""GapCatNoSSAL and CatFCNoSSAL of Table 2: the architecture of an SSAL model, joined inside the network.

Both read the same taps and have the same branches as an SSAL model, but end in one classifier (§4.3).
GapCatNoSSAL joins features: what the branches' bodies deliver, and the pooled features of the main network.
CatFCNoSSAL joins outputs: the probabilities of the groups by the branches and of the classes by the main
network, since the paper's outputs are "with softmax normalization"; with logits in their place it diverged at
a learning rate of 0.1 on `digits`, where the other networks trained.

The paper leaves open whether "the output of the SSAL branch" in GapCatNoSSAL is what its body or its last
linear layer delivers. Features, as here, give 15.77M parameters on Tiny-ImageNet with three branches; group
logits would give 15.52M; the table has 15.6M. It is also open whether the main network of CatFCNoSSAL keeps
a loss of its own; here it does not, as its prediction is the joined one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ssal.branches import build_branch
from ssal.experiments.rivals.surgery import TappedBackbone, without_classifier
from ssal.joint import Outputs
from ssal.model import Branch, GroupedNetwork
from ssal.taps import output_size


class ConcatenatedFeatures(GroupedNetwork):
    """GapCatNoSSAL: pooled features of the main network and of the branches, one linear layer to the classes.

    There is no group loss, so of the groupings nothing counts.

    Args:
        backbone: a classifier that ends in a linear layer, which is taken off.
        branches: taps and layouts of the bodies.
        input_shape: shape of one sample.

    Raises:
        InputError: the backbone does not end in a linear layer, or a tap or layout does not fit it.
    """

    def __init__(
        self, backbone: nn.Module, branches: Sequence[Branch], input_shape: Sequence[int] = (3, 32, 32)
    ) -> None:
        super().__init__((), output_size(backbone, input_shape), input_shape)
        headless, width = without_classifier(backbone, input_shape)
        self.trunk = TappedBackbone(headless, [branch.tap for branch in branches], input_shape)
        nets = [
            build_branch(branch.layout, tap.feature, branch.grouping.num_groups)
            for branch, tap in zip(branches, self.trunk.shapes, strict=True)
        ]
        self.branches = nn.ModuleList(net.body for net in nets)
        self.classifier = nn.Linear(width + sum(net.head.in_features for net in nets), self.num_classes)

    def forward(self, images: Tensor) -> Outputs:
        """Class logits of images [N, *input_shape]."""
        pooled, maps = self.trunk(images)
        bodies = (body(feature) for body, feature in zip(self.branches, maps, strict=True))
        return Outputs(self.classifier(torch.cat([pooled, *bodies], dim=1)))


class ConcatenatedOutputs(GroupedNetwork):
    """Outputs of the main network and the branches, a linear layer with ReLU, a linear layer to the classes.

    CatFCNoSSAL has branches of loss weight 0, whose outputs are features like others; with other weights this
    is the network with the SSAL objective that Figure 5 compares it with. The joint prediction is the main
    one, since the groups have had their say: all exponents are 0.

    Args:
        backbone: a classifier.
        branches: taps, layouts, groupings and loss weights.
        input_shape: shape of one sample.
        units: units of the layer between.

    Raises:
        InputError: a tap or layout does not fit the backbone.
    """

    def __init__(
        self,
        backbone: nn.Module,
        branches: Sequence[Branch],
        input_shape: Sequence[int] = (3, 32, 32),
        units: int = 2048,
    ) -> None:
        specs = [replace(branch, exponent=0.0) for branch in branches]
        super().__init__(specs, output_size(backbone, input_shape), input_shape)
        self.trunk = TappedBackbone(backbone, [branch.tap for branch in branches], input_shape)
        self.branches = nn.ModuleList(
            build_branch(branch.layout, tap.feature, branch.grouping.num_groups)
            for branch, tap in zip(branches, self.trunk.shapes, strict=True)
        )
        width = self.num_classes + sum(branch.grouping.num_groups for branch in branches)
        self.classifier = nn.Sequential(
            nn.Linear(width, units), nn.ReLU(inplace=True), nn.Linear(units, self.num_classes)
        )

    def forward(self, images: Tensor) -> Outputs:
        """Class logits of images [N, *input_shape], and group logits."""
        main, maps = self.trunk(images)
        groups = tuple(branch(feature) for branch, feature in zip(self.branches, maps, strict=True))
        probabilities = [logits.softmax(dim=1) for logits in (main, *groups)]
        return Outputs(self.classifier(torch.cat(probabilities, dim=1)), groups)
