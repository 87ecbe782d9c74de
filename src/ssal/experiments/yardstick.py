"""What a fixed piece of work takes on this machine, so that times of two machines can be compared."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import torch

from ssal.backbones import create_backbone
from ssal.model import SSALModel
from ssal.training import Precision, step_times

# The work: training steps of this network, which is that of the small experiments.
_NETWORK, _WIDTH, _CLASSES, _SHAPE, _BATCH = "resnet18_cifar_pool", 16, 100, (3, 32, 32), 128
# Of a training's steps, one in so many is measured on either side of it, up to a largest number.
_EVERY, _MOST = 200, 15


def yardstick_seconds(precision: Precision, steps: int, now: Callable[[], float]) -> float:
    """Median time of a training step of a fixed network; taken before a training of `steps`, and after it.

    The seconds of the training divided by it can be compared with those of another machine: all that differs
    then is how much each machine likes layers of other shapes.

    Args:
        precision: that of the training.
        steps: how many the training has; a longer one is worth a longer look.
        now: the clock of the training.
    """
    # What is measured beside a training must not change it.
    with torch.random.fork_rng():
        network = SSALModel(create_backbone(_NETWORK, _CLASSES, width=_WIDTH), [], _SHAPE)
    return median(step_times(network, _BATCH, [precision], min(_MOST, 1 + steps // _EVERY), now)[0])
