"""COT: complement objective training (Chen et al., ICLR 2019).

Each batch is used twice: a step lowers the cross-entropy, a second step evens out the probabilities of the
wrong classes (the paper's algorithm alternates the two). With p_j = ŷ_j / (1 − ŷ_g) for the classes j other
than the true one g, the complement entropy of a sample is −Σ_{j≠g} p_j log p_j; the second objective is its
negative mean over the batch, divided by K − 1.

Chosen here: K − 1 as in the paper, while the authors' code divides by K. The paper leaves open whether the
two steps share their momentum; here they do, since one optimiser takes both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssal.joint import Outputs
from ssal.model import GroupedNetwork
from ssal.training import Step


def complement_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean entropy of the probabilities of the wrong classes, divided by their number K − 1.

    Args:
        logits: [N, K].
        target: true classes, int64 [N].

    Returns:
        Scalar, from 0 to log(K − 1) / (K − 1).
    """
    wrong = torch.ones_like(logits, dtype=torch.bool).scatter(1, target[:, None], False)
    others = logits[wrong].view(len(logits), -1)
    log_prob = F.log_softmax(others.float(), dim=1)
    return -(log_prob.exp() * log_prob).sum(dim=1).mean() / others.shape[1]


class ComplementEntropy:
    """The second objective of COT: the negative complement entropy of the main classifier."""

    def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
        """Lowest where the wrong classes are equally likely."""
        outputs: Outputs = model(images)
        return Step(-complement_entropy(outputs.main, targets), outputs)
