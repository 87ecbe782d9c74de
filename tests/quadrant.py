"""Models of which it is known where they look."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from ssal.grouping import Grouping
from ssal.model import Branch, SSALModel

SIDE = 16


class Window(nn.Module):
    """Maps [N, 2, 8, 8] of the brightness inside and outside of the upper left quarter."""

    def __init__(self) -> None:
        super().__init__()
        inside = torch.zeros(8, 8)
        inside[:4, :4] = 1
        self.register_buffer("windows", torch.stack([inside, 1 - inside]))

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 2) * self.get_buffer("windows")


class Wallpaper(nn.Module):
    """Maps that have nothing to do with the image."""

    def __init__(self, flat: bool = False) -> None:
        super().__init__()
        drawn = 0.5 + torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
        self.register_buffer("paper", torch.ones(2, 8, 8) if flat else drawn)

    def forward(self, images: Tensor) -> Tensor:
        return self.get_buffer("paper").expand(len(images), -1, -1, -1)


def pooled_model(look: nn.Module, exponent: float = 0.5) -> SSALModel:
    """Class 0, and the group of it, for a bright first map; else class 1, 2 or 3, without preference."""
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    fc = nn.Linear(2, 4)
    net = nn.Sequential(OrderedDict(look=look, pool=pool, fc=fc))
    branch = Branch("look", Grouping.from_labels([0, 0, 1, 1]), layout="gap", exponent=exponent)
    model = SSALModel(net, [branch], (1, SIDE, SIDE))
    with torch.no_grad():
        for head in (fc, model.branches[0].head):
            head.weight.zero_()
            head.weight[0, 0] = 30.0
            head.bias.fill_(3.0)
            head.bias[0] = 0.0
    return model.eval()


def bright_images(count: int = 12) -> Tensor:
    return 0.5 + torch.rand((count, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
