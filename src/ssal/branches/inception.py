"""Inception blocks: parallel paths of convolutions, their maps concatenated.

`Inception` is the one of the paper's CIFAR branches. `InceptionC`, `InceptionD` and `InceptionE` are those of
Inception-v3 (Szegedy et al. 2016), which the ImageNet branches use at half width. Each takes its width in
percent of the published number of filters; no path becomes narrower than 8 filters.

The paper leaves open how many of the blocks a branch has, and which of Inception-v3's four C blocks is meant:
their factorised paths have 128, 160, 160 and 192 filters; here it is the last one, which
stands before the reduction. All blocks but D keep the size of the map; the windows of D are padded, unlike in
Inception-v3, so that small maps can be read too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_NARROWEST = 8


def conv_bn_relu(inputs: int, filters: int, kernel: tuple[int, int], stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU; an odd kernel of stride 1 keeps the size of the map."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, filters, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(inplace=True),
    )


def scaled(filters: int, factor: float) -> int:
    """`filters` times `factor`, to the nearest whole number, but at least 8, or as many as there were.

    >>> scaled(128, 0.25), scaled(128, 0.01), scaled(4, 0.5)
    (32, 8, 4)
    """
    return max(min(_NARROWEST, filters), round(filters * factor))


def _six_paths(block: Inception | InceptionE, maps: Tensor) -> Tensor:
    short, long = block.short(maps), block.long(maps)
    paths = (
        block.point(maps),
        block.short_row(short),
        block.short_column(short),
        block.long_row(long),
        block.long_column(long),
        block.pooled(maps),
    )
    return torch.cat(paths, dim=1)


class Inception(nn.Module):
    """The Inception block of the published CIFAR branches: four paths, 748 channels out at full width.

    1×1/128 · 1×1/128 → {1×3/128, 3×1/128} · 1×1/160 → 1×1/128 → {1×3/128, 3×1/128} ·
    average pool 3×3 → 3×1/108.

    Args:
        inputs: channels of the maps.
        percent: width in percent.
    """

    def __init__(self, inputs: int, percent: int = 100) -> None:
        super().__init__()
        wide, middle, narrow = (scaled(filters, percent / 100) for filters in (160, 128, 108))
        self.channels = 5 * middle + narrow
        self.point = conv_bn_relu(inputs, middle, (1, 1))
        self.short = conv_bn_relu(inputs, middle, (1, 1))
        self.short_row = conv_bn_relu(middle, middle, (1, 3))
        self.short_column = conv_bn_relu(middle, middle, (3, 1))
        self.long = nn.Sequential(conv_bn_relu(inputs, wide, (1, 1)), conv_bn_relu(wide, middle, (1, 1)))
        self.long_row = conv_bn_relu(middle, middle, (1, 3))
        self.long_column = conv_bn_relu(middle, middle, (3, 1))
        self.pooled = nn.Sequential(
            nn.AvgPool2d(3, stride=1, padding=1), conv_bn_relu(inputs, narrow, (3, 1))
        )

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, H, W] → [N, channels, H, W]."""
        return _six_paths(self, maps)


def _chain(inputs: int, steps: list[tuple[int, tuple[int, int]]], stride: int = 1) -> nn.Sequential:
    """Convolutions one after the other, (filters, kernel) each; the last one has the stride."""
    chain = nn.Sequential()
    for number, (filters, kernel) in enumerate(steps):
        chain.append(conv_bn_relu(inputs, filters, kernel, stride if number == len(steps) - 1 else 1))
        inputs = filters
    return chain


class InceptionC(nn.Module):
    """Inception-v3's block of factorised 7×7 convolutions: four paths, 768 channels out at full width.

    1×1/192 · 1×1/192 → 1×7/192 → 7×1/192 · 1×1/192 → {7×1/192 → 1×7/192} twice · average pool 3×3 → 1×1/192.

    Args:
        inputs: channels of the maps.
        percent: width in percent.
    """

    def __init__(self, inputs: int, percent: int = 100) -> None:
        super().__init__()
        width = scaled(192, percent / 100)
        row, column = (width, (1, 7)), (width, (7, 1))
        self.channels = 4 * width
        self.point = conv_bn_relu(inputs, width, (1, 1))
        self.once = _chain(inputs, [(width, (1, 1)), row, column])
        self.twice = _chain(inputs, [(width, (1, 1)), column, row, column, row])
        self.pooled = nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), conv_bn_relu(inputs, width, (1, 1)))

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, H, W] → [N, channels, H, W]."""
        return torch.cat([self.point(maps), self.once(maps), self.twice(maps), self.pooled(maps)], dim=1)


class InceptionD(nn.Module):
    """Inception-v3's reduction block: three paths of stride 2, 512 + C channels out at full width.

    1×1/192 → 3×3/320 · 1×1/192 → 1×7/192 → 7×1/192 → 3×3/192 · max-pool 3×3.

    Args:
        inputs: channels C of the maps; the pooling path hands them on.
        percent: width in percent.
    """

    def __init__(self, inputs: int, percent: int = 100) -> None:
        super().__init__()
        width, wide = scaled(192, percent / 100), scaled(320, percent / 100)
        self.channels = wide + width + inputs
        self.short = _chain(inputs, [(width, (1, 1)), (wide, (3, 3))], stride=2)
        steps = [(width, (1, 1)), (width, (1, 7)), (width, (7, 1)), (width, (3, 3))]
        self.long = _chain(inputs, steps, stride=2)
        self.pooled = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, H, W] → [N, channels, H / 2, W / 2], sizes rounded up."""
        return torch.cat([self.short(maps), self.long(maps), self.pooled(maps)], dim=1)


class InceptionE(nn.Module):
    """Inception-v3's block of expanded filter banks: four paths, 2048 channels out at full width.

    1×1/320 · 1×1/384 → {1×3/384, 3×1/384} · 1×1/448 → 3×3/384 → {1×3/384, 3×1/384} ·
    average pool 3×3 → 1×1/192.

    Args:
        inputs: channels of the maps.
        percent: width in percent.
    """

    def __init__(self, inputs: int, percent: int = 100) -> None:
        super().__init__()
        narrow, point, middle, wide = (scaled(filters, percent / 100) for filters in (192, 320, 384, 448))
        self.channels = point + 4 * middle + narrow
        self.point = conv_bn_relu(inputs, point, (1, 1))
        self.short = conv_bn_relu(inputs, middle, (1, 1))
        self.short_row = conv_bn_relu(middle, middle, (1, 3))
        self.short_column = conv_bn_relu(middle, middle, (3, 1))
        self.long = _chain(inputs, [(wide, (1, 1)), (middle, (3, 3))])
        self.long_row = conv_bn_relu(middle, middle, (1, 3))
        self.long_column = conv_bn_relu(middle, middle, (3, 1))
        self.pooled = nn.Sequential(
            nn.AvgPool2d(3, stride=1, padding=1), conv_bn_relu(inputs, narrow, (1, 1))
        )

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, H, W] → [N, channels, H, W]."""
        return _six_paths(self, maps)
