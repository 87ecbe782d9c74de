"""A small model whose parts differ, for the tests of its evidence."""

from collections import OrderedDict

import torch
from torch import nn

from ssal.grouping import Grouping
from ssal.model import Branch, SSALModel

CLASSES = 7


def lively(model: nn.Module) -> nn.Module:
    """Large weights, so that predictions and maps differ between images and parts."""
    torch.manual_seed(3)
    for _, module in sorted(model.named_modules(), key=lambda named: named[0]):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=2.0)
            nn.init.normal_(module.bias, std=0.5)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.2)
    return model


def small_model() -> SSALModel:
    """Three branches on two convolutions; the weights are large, so that the parts differ."""
    torch.manual_seed(3)
    early = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(inplace=True))
    late = nn.Sequential(nn.Conv2d(5, 6, 3, stride=2, padding=1), nn.Tanh())
    pool, fc = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout()), nn.Linear(6, CLASSES)
    branches = [
        Branch("early", Grouping.random(CLASSES, 3, seed=0), layout="cbr 4,3,1 | gap", exponent=0.8),
        Branch("early", Grouping.random(CLASSES, 2, seed=1), layout="gap | dense 6", exponent=1.1),
        Branch("late", Grouping.identity(CLASSES), layout="gap", exponent=0.6),
    ]
    net = nn.Sequential(OrderedDict(early=early, late=late, pool=pool, fc=fc))
    return lively(SSALModel(net, branches, (1, 9, 6)))


def fused_model(groups: Grouping | None = None) -> SSALModel:
    """Two branches, groups that are read off one, and a fused branch, whose layers all count."""
    torch.manual_seed(7)
    net = nn.Sequential(
        OrderedDict(
            early=nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU()),
            late=nn.Sequential(nn.Conv2d(5, 6, 3, stride=2, padding=1), nn.Tanh()),
            pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            fc=nn.Linear(6, CLASSES),
        )
    )
    classes = Grouping.identity(CLASSES)
    branches = [
        Branch("early", classes, layout="cbr 4,3,1 | gap", exponent=0.7),
        Branch("early", Grouping.random(CLASSES, 3), exponent=0.5, summed=True),
        Branch("late", groups or classes, layout="gap", exponent=0.9, fused=True),
        Branch("late", Grouping.random(CLASSES, 2), layout="gap | dense 6", exponent=0.4),
    ]
    return lively(SSALModel(net, branches, (1, 9, 6)))


def images(count: int = 4) -> torch.Tensor:
    return torch.randn((count, 1, 9, 6), generator=torch.Generator().manual_seed(5))
