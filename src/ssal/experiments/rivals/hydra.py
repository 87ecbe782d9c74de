"""HydraNet: branches for groups of classes, and a gate that picks some (Mullapudi et al., CVPR 2018).

A stem computes features that all share. One branch for each group of similar classes computes features for
it, a gate scores the branches from the stem's features, and a combiner, a linear layer on the features of all
branches, predicts the classes; features of branches that the gate does not pick are zero. The gate is trained
to tell the group of the true class, which makes the branches specialise.

Where this is not known to be the published network:

* The text of the paper was not at hand, only its abstract and others' descriptions of it: soft gating, top-k
  branches by the gate's score, 20 branches on CIFAR-100 of which 4 run, balanced clusters of classes. Chosen
  here: gate scores are the softmax over the picked branches and multiply their features; the gate's loss is
  the cross-entropy of the group, weight 1; branch and gate are narrow copies of the stage after the stem.
* The paper clusters the mean features of the classes by k-means into equal parts; here the groups are those
  of the job.
* All branches are run and the features of those not picked are set to zero: the same prediction, without the
  saving of time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssal.branches import build_branch
from ssal.errors import InputError
from ssal.experiments.rivals.experts import expert_bodies, expert_layout
from ssal.experiments.rivals.surgery import TappedBackbone, cut_after
from ssal.grouping import Grouping
from ssal.joint import Outputs
from ssal.model import Branch, GroupedNetwork
from ssal.taps import output_size


def gate_weights(scores: Tensor, picked: int) -> Tensor:
    """Softmax over the `picked` highest scores of each row, 0 for the others.

    >>> gate_weights(torch.tensor([[0.0, 0.0, -9.0, -9.0]]), 2)
    tensor([[0.5000, 0.5000, 0.0000, 0.0000]])
    """
    top = scores.float().topk(picked, dim=1)
    return torch.zeros_like(scores, dtype=torch.float32).scatter(1, top.indices, top.values.softmax(dim=1))


class HydraNetwork(GroupedNetwork):
    """Stem, gate, one branch per group, combiner.

    Its group logits are the gate's scores, which do not take part in the joint prediction.

    Args:
        backbone: cut after the tap; what comes before is the stem.
        tap: the last layer of the stem.
        grouping: the groups that the branches specialise on.
        input_shape: shape of one sample.
        share: filters of a branch as a share of those of the stage that follows the tap.
        picked: branches that the gate picks; all of them where there are fewer.

    Raises:
        InputError: the backbone cannot be cut there, `picked` is below 1, or the grouping is for other
            classes.
    """

    def __init__(
        self,
        backbone: nn.Module,
        tap: str,
        grouping: Grouping,
        input_shape: Sequence[int] = (3, 32, 32),
        share: float = 0.25,
        picked: int = 4,
    ) -> None:
        if picked < 1:
            raise InputError(f"a gate must pick at least 1 branch, not {picked}")
        spec = Branch(tap, grouping, weight=1.0, exponent=0.0)
        super().__init__([spec], output_size(backbone, input_shape), input_shape)
        self.picked = min(picked, grouping.num_groups)
        self.stem = TappedBackbone(cut_after(backbone, tap, input_shape), [tap], input_shape)
        feature = self.stem.shapes[0].feature
        layout = expert_layout(feature, share)
        self.branches, width = expert_bodies(grouping.num_groups, feature, layout)
        self.gate = build_branch(layout, feature, grouping.num_groups)
        self.combiner = nn.Linear(width * grouping.num_groups, self.num_classes)

    def forward(self, images: Tensor) -> Outputs:
        """Class logits and the gate's scores for images [N, *input_shape]."""
        _, (features,) = self.stem(images)
        scores = self.gate(features)
        weights = gate_weights(scores, self.picked)
        bodies = torch.stack([body(features) for body in self.branches], dim=1)
        return Outputs(self.combiner((bodies * weights[:, :, None]).flatten(1)), (scores,))
