"""DHM: dynamic hierarchical mimicking (Li and Chen, CVPR 2020).

Side branches predict the classes, as in deep supervision, and every head learns from every other one: the
loss is the sum of the cross-entropies of all heads and, for each ordered pair of heads (t, s),
α·T²·KL(p_t ‖ p_s) with probabilities at temperature T. Only the head s that mimics receives a gradient, t is
a fixed target. Prediction uses the main classifier alone.

Chosen here: α = 1 and T = 1, as in the authors' code; all cross-entropies weigh one. Where the branches start
and how they are built differs from network to network in the paper; here the taps and layouts of the job say
it, and `ssal.experiments.published.STAGE_COPIES` has copies of the later stages as the paper likes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssal.joint import Outputs, ssal_loss
from ssal.model import GroupedNetwork
from ssal.training import Step


def mimicry(heads: Sequence[Tensor], temperature: float = 1.0) -> Tensor:
    """Sum over all ordered pairs of heads of T²·KL(p_t ‖ p_s), the mean over the batch; p_t is not trained.

    Args:
        heads: logits [N, K] of at least two heads.
        temperature: T, which all logits are divided by.
    """
    log_probs = [F.log_softmax(logits.float() / temperature, dim=1) for logits in heads]
    terms = [
        F.kl_div(student, teacher.detach(), reduction="batchmean", log_target=True)
        for teacher, student in permutations(log_probs, 2)
    ]
    return temperature**2 * torch.stack(terms).sum()


@dataclass(frozen=True)
class MimickingLoss:
    """The loss of DHM for a network whose branches all predict the classes.

    Attributes:
        weight: α of the mimicking terms.
        temperature: T of the mimicking terms.
        label_smoothing: share of each target spread over all classes.
    """

    weight: float = 1.0
    temperature: float = 1.0
    label_smoothing: float = 0.0

    def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
        """Cross-entropies of all heads, and what they learn from each other."""
        outputs: Outputs = model(images)
        ones = [1.0] * len(outputs.groups)
        loss = ssal_loss(outputs, targets, model.labels, ones, label_smoothing=self.label_smoothing)
        loss = loss + self.weight * mimicry((outputs.main, *outputs.groups), self.temperature)
        return Step(loss, outputs)
