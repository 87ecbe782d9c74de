"""HD-CNN: a coarse classifier routes to one fine expert per group (Yan et al., ICCV 2015).

All parts share the early layers. The coarse component is the building-block network itself, a classifier of
all classes, whose probabilities are summed within each group (fine-to-coarse aggregation) to B_k. The expert
of group k gives p_k(y) over its classes. Prediction is the weighted mean p(y) = Σ_k B_k p_k(y), where
p_k(y) = 0 for the classes outside of k (probabilistic averaging). The loss is −log p(y) and the coarse
category consistency λ/2 · Σ_k (t_k − mean_i B_ik)², with t_k the share of the samples that belong to group k.

Where this is not HD-CNN as published:

* Groups are disjoint here, since a grouping is; in the paper a class may belong to several, by a threshold on
  the coarse probabilities. With disjoint groups the sum over k has one term, log p(y) = log B_k + log p_k(y).
* The paper trains building block, coarse component and experts one after the other and then fine-tunes all
  with the loss above. Here all is trained at once, and the cross-entropy of the building block (weight 1)
  takes the place of its pre-training; that of the experts is in −log p(y) already.
* t_k goes by the number of classes in a group: the data are taken to be balanced.
* The paper's experts copy the building block's later layers at full width; here they are narrower copies.
* λ = 20 by default. All experts are run for all samples; the paper skips those of small B_k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssal.experiments.rivals.experts import GroupExperts, expert_layout
from ssal.experiments.rivals.surgery import TappedBackbone
from ssal.grouping import Grouping
from ssal.joint import Outputs
from ssal.model import Branch, GroupedNetwork
from ssal.taps import output_size
from ssal.training import Objective, Step


class HierarchicalNetwork(GroupedNetwork):
    """HD-CNN: coarse component, one expert per group, weighted mean.

    Its outputs are log-probabilities: of the classes; of the groups, from the coarse component; and of the
    classes by the coarse component alone. The last two do not take part in the joint prediction.

    Args:
        backbone: the building block, a classifier of all classes.
        tap: the layer that the experts start from.
        grouping: the groups.
        input_shape: shape of one sample.
        share: filters of an expert as a share of those of the stage that follows the tap.

    Raises:
        InputError: the tap does not fit the backbone, or the grouping is for other classes.
    """

    def __init__(
        self,
        backbone: nn.Module,
        tap: str,
        grouping: Grouping,
        input_shape: Sequence[int] = (3, 32, 32),
        share: float = 0.25,
    ) -> None:
        classes = output_size(backbone, input_shape)
        specs = [
            Branch(tap, grouping, weight=0.0, exponent=0.0),
            Branch(tap, Grouping.identity(classes), weight=1.0, exponent=0.0),
        ]
        super().__init__(specs, classes, input_shape)
        self.trunk = TappedBackbone(backbone, [tap], input_shape)
        feature = self.trunk.shapes[0].feature
        self.branches = nn.ModuleList([GroupExperts(grouping, feature, expert_layout(feature, share))])
        self.num_groups = grouping.num_groups

    def forward(self, images: Tensor) -> Outputs:
        """Log-probabilities for images [N, *input_shape]."""
        logits, (features,) = self.trunk(images)
        fine = logits.float().log_softmax(dim=1)
        labels = self.labels[0]
        coarse = _sum_within(fine, labels, self.num_groups)
        experts = self.branches[0](features)
        return Outputs(coarse.index_select(1, labels) + experts, (coarse, fine))


def _sum_within(log_prob: Tensor, labels: Tensor, groups: int) -> Tensor:
    """Log of the sum of the probabilities within each group: [N, C] → [N, k]."""
    outside = labels[None] != torch.arange(groups, device=labels.device)[:, None]
    return log_prob[:, None].masked_fill(outside, float("-inf")).logsumexp(dim=2)


@dataclass(frozen=True)
class CoarseConsistency:
    """A loss with the coarse category consistency of HD-CNN added.

    Attributes:
        loss: the loss that it is added to.
        weight: λ.
    """

    loss: Objective
    weight: float = 20.0

    def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
        """The mean coarse probabilities of a batch stay near the sizes of the groups."""
        step = self.loss(model, images, targets)
        coarse, labels = step.outputs.groups[0], model.labels[0]
        share = torch.bincount(labels, minlength=coarse.shape[1]) / len(labels)
        distance = (share - coarse.softmax(dim=1).mean(dim=0)).square().sum()
        return Step(step.loss + self.weight / 2 * distance, step.outputs)
