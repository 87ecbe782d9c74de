"""Networks and images that the benchmarks run on."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from ssal import Branch, Grouping, SSALModel
from ssal.backbones import create_backbone
from ssal.data import ArraySet, Augmentation, Preprocess, eval_loader, train_loader
from ssal.joint import Exponents
from ssal.run.backbone import BackboneSpec
from ssal.run.heads import fused_branches, heads_of, taps_of, weights_of
from ssal.run.resolve import default_groups
from ssal.run.saved import SavedModel
from ssal.taps import choose_taps
from ssal.training import Precision, choose_precision

SHAPE = (3, 32, 32)
MEAN, STD = (0.507, 0.487, 0.441), (0.267, 0.256, 0.276)


def images(count: int, classes: int = 100, side: int = 32) -> ArraySet:
    """Noise of the size of CIFAR-100: what is in the pixels does not matter for speed."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    targets = np.arange(count) % classes
    return ArraySet(pixels, targets, [str(name) for name in range(classes)])


def preprocess(side: int = 32) -> Preprocess:
    """CIFAR-100's mean and standard deviation."""
    return Preprocess(3, (side, side), MEAN, STD)


def network(
    width: int, groups: tuple[int, ...] = (), classes: int = 100, name: str = "resnet18_cifar"
) -> SSALModel:
    """A backbone with a light branch for each number of groups, at the default taps."""
    torch.manual_seed(0)
    backbone = create_backbone(name, classes, width=width)
    taps = choose_taps(backbone, len(groups), SHAPE) if groups else ()
    branches = [Branch(tap, Grouping.random(classes, k, seed=0)) for tap, k in zip(taps, groups, strict=True)]
    return SSALModel(backbone, branches, SHAPE)


def default_branches(backbone: nn.Module, classes: int, shape: tuple[int, ...]) -> list[Branch]:
    """What `ssal train` attaches by default, with arbitrary groups."""
    heads = heads_of(default_groups(classes))
    groupings = [
        Grouping.random(classes, head.item, seed=0)
        if isinstance(head.item, int)
        else Grouping.identity(classes)
        for head in heads
    ]
    fused, taps = fused_branches(heads), taps_of(backbone, shape, "auto", heads)
    parts = zip(heads, groupings, taps, weights_of(None, heads), strict=True)
    return [
        Branch(
            tap, grouping, weight=weight, fused=head.branch in fused and not head.summed, summed=head.summed
        )
        for head, grouping, tap, weight in parts
    ]


def default_network(width: int, classes: int = 100, name: str = "resnet18_cifar") -> SSALModel:
    """A backbone with what `ssal train` attaches by default."""
    torch.manual_seed(0)
    backbone = create_backbone(name, classes, width=width)
    return SSALModel(backbone, default_branches(backbone, classes, SHAPE), SHAPE)


@cache
def precision(width: int, batch_size: int = 128) -> Precision:
    """What `--precision auto` takes here: without the instructions, bfloat16 is many times slower."""
    return choose_precision(network(width), batch_size)


def saved(width: int, groups: tuple[int, ...] = (20, 33, 50)) -> SavedModel:
    """An untrained model with branches, as a run would save it."""
    spec = BackboneSpec(name="resnet18_cifar", num_classes=100, in_chans=3, input_size=SHAPE[1:], width=width)
    names = tuple(str(name) for name in range(100))
    model = network(width, groups).eval()
    return SavedModel(model, spec, names, preprocess(), Exponents(1.0, (0.3,) * len(groups)))


def train_batches(data: ArraySet, batch_size: int, **more: Any) -> partial[Any]:
    """The factory of ssal's own training loader."""
    augmentation = Augmentation(shift=5, flip=True)
    return partial(train_loader, data, preprocess(), augmentation, batch_size=batch_size, seed=0, **more)


def eval_batches(data: ArraySet) -> partial[Any]:
    """The factory of ssal's own evaluation loader."""
    return partial(eval_loader, data, preprocess(), batch_size=250)
