"""Groups from the confusion that is seen during the same training, so that no other one has to come first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssal.grouping import Grouping
from ssal.joint import Outputs
from ssal.model import GroupedNetwork
from ssal.training.objective import JointLoss, KeptObjective, Step

Derive = Callable[[NDArray[np.float64]], tuple[Grouping, ...]]


class GatheredGroups(KeptObjective):
    """The joint loss (Equation 3) whose branches wait for their groups, which the first batches decide.

    Until `start` the loss is that of the main classifier, and of branches that need not wait. The main
    classifier's softmax outputs are summed for each true class, old batches fading: a soft confusion of the
    network as it is now, not as it began. At `start` the groups are derived from that, once, and all branches
    learn. The sums stay as they are from then on, so that a resumed training derives the same groups again.

    Batches are augmented, and images that the weights are fitted to, which makes for fewer confusions than
    held-out images have; early in a training the difference is small. With several processes the sums are
    those of the first.

    Args:
        derive: from a soft confusion [C, C], rows not normalised, to a grouping for each branch, of as many
            groups as it has; the same input must give the same groups.
        num_classes: C.
        start: number of the batch, from 0, with which the branches begin.
        memory: number of batches after which one counts 1/e.
        waiting: for each branch, whether it waits; the groups of others must be what `derive` gives for any
            confusion. All wait if None.
        hard: count the predicted classes in place of their softmax outputs.
        loss: what is lowered.
    """

    sums: Tensor
    batches: Tensor
    begun: Tensor

    def __init__(
        self,
        derive: Derive,
        num_classes: int,
        start: int,
        memory: float,
        *,
        waiting: Sequence[bool] | None = None,
        hard: bool = False,
        loss: JointLoss = JointLoss(),  # noqa: B008 - immutable
    ) -> None:
        super().__init__()
        self.derive = derive
        self.start = start
        self.decay = math.exp(-1 / memory)
        self.waiting = waiting
        self.hard = hard
        self.loss = loss
        self.register_buffer("sums", torch.zeros(num_classes, num_classes))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        # Kept, since a training that goes on for more epochs than it was begun with has a later start.
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    def restore(self, model: GroupedNetwork) -> None:
        """Give the model the groups that it had, if the branches have begun."""
        if self.begun:
            self._regroup(model)

    def forward(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
        """The loss of one batch, which is counted."""
        # Before the batch is looked at: processes that train together have the same sums at this point.
        if not self.begun and int(self.batches) >= self.start:
            self._regroup(model)
            self.begun.fill_(True)
        begun = bool(self.begun)
        outputs: Outputs = model(images)
        # Weights of zero, and not a pass without branches: each part must reach the loss in every step.
        waiting = [not begun] * len(model.specs) if begun or self.waiting is None else self.waiting
        weights = [0.0 if waits else spec.weight for spec, waits in zip(model.specs, waiting, strict=True)]
        loss = self.loss.of(outputs, targets, model.labels, weights)
        if not begun:
            scores = outputs.main.detach().float()
            seen = F.one_hot(scores.argmax(1), scores.shape[1]).float() if self.hard else scores.softmax(1)
            self.sums.mul_(self.decay).index_add_(0, targets, seen)
        self.batches += 1
        return Step(loss, outputs)

    def confusion(self) -> NDArray[np.float64]:
        """What was gathered [C, C]: outputs, or predictions, summed for each true class, not normalised."""
        return self.sums.double().cpu().numpy()

    def _regroup(self, model: GroupedNetwork) -> None:
        model.regroup(self.derive(self.confusion()))
