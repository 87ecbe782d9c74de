"""Layouts: the text that describes a branch, and the blocks it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from timm.layers import SeparableConvNormAct
from timm.models.resnet import BasicBlock
from torch import Tensor, nn

from ssal.branches.inception import (
    Inception,
    InceptionC,
    InceptionD,
    InceptionE,
    conv_bn_relu,
    scaled,
)
from ssal.errors import InputError, unknown_name

_BLOCK = re.compile(r"(?P<name>[a-z_]+)\s*(?P<numbers>.*)")


@dataclass(frozen=True)
class Block:
    """One block of a layout: its name and its numbers, defaults filled in."""

    name: str
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        """The block as it is written in a layout."""
        return f"{self.name} {','.join(map(str, self.numbers))}".strip()


class GlobalAveragePool(nn.Module):
    """Global average pooling of maps [N, C, H, W] to vectors [N, C].

    The mean over the pixels of [N, H·W, C] has a gradient whose channels lie together. That of PyTorch's
    layers has not, and brings all that comes before it in the backward pass out of channels-last memory.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C]."""
        return maps.permute(0, 2, 3, 1).flatten(1, 2).mean(1)


def _gap(channels: int) -> tuple[nn.Module, int]:
    return GlobalAveragePool(), channels


def _cbr(channels: int, filters: int, kernel: int, stride: int) -> tuple[nn.Module, int]:
    return conv_bn_relu(channels, filters, (kernel, kernel), stride), filters


def _separable(channels: int, filters: int, kernel: int, stride: int) -> tuple[nn.Module, int]:
    """A convolution of each channel by itself, then one of 1×1 over all, norm and ReLU (Chollet 2017)."""
    return SeparableConvNormAct(channels, filters, kernel, stride, act_layer=nn.ReLU), filters


def _residual(channels: int, filters: int, stride: int, blocks: int) -> tuple[nn.Module, int]:
    """Basic residual blocks (He et al. 2016); a 1×1 convolution fits the input where the shape changes."""
    stage = nn.Sequential()
    for _ in range(blocks):
        shortcut = None
        if stride != 1 or channels != filters:
            shortcut = nn.Sequential(
                nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )
        stage.append(BasicBlock(channels, filters, stride, shortcut))
        channels, stride = filters, 1
    return stage, filters


def _dense(channels: int, units: int) -> tuple[nn.Module, int]:
    return nn.Sequential(nn.Linear(channels, units), nn.ReLU(inplace=True)), units


@dataclass(frozen=True)
class Kind:
    """What a block name stands for.

    Attributes:
        build: from the channels that come in and the block's numbers to a module and its channels.
        maps: whether it takes maps, and not vectors.
        numbers: names of its numbers.
        defaults: their values where not given.
    """

    build: Callable[..., tuple[nn.Module, int]]
    maps: bool
    numbers: tuple[str, ...] = ()
    defaults: tuple[int, ...] = ()


def _inception(kind: type[Inception | InceptionC | InceptionD | InceptionE]) -> Kind:
    def build(channels: int, percent: int) -> tuple[nn.Module, int]:
        block = kind(channels, percent)
        return block, block.channels

    return Kind(build, maps=True, numbers=("percent",), defaults=(100,))


KINDS = {
    "cbr": Kind(_cbr, maps=True, numbers=("filters", "kernel", "stride"), defaults=(256, 3, 1)),
    "sep": Kind(_separable, maps=True, numbers=("filters", "kernel", "stride"), defaults=(256, 3, 1)),
    "res": Kind(_residual, maps=True, numbers=("filters", "stride", "blocks"), defaults=(256, 1, 2)),
    "inception": _inception(Inception),
    "inception_c": _inception(InceptionC),
    "inception_d": _inception(InceptionD),
    "inception_e": _inception(InceptionE),
    "gap": Kind(_gap, maps=True),
    "dense": Kind(_dense, maps=False, numbers=("units",), defaults=(768,)),
}


def _parse_block(text: str, layout: str) -> Block:
    match = _BLOCK.fullmatch(text)
    name = match["name"] if match else text
    if match is None or name not in KINDS:
        raise unknown_name("block", name, [*KINDS, "light"])
    kind = KINDS[name]
    given = [number.strip() for number in match["numbers"].split(",")] if match["numbers"].strip() else []
    if len(given) > len(kind.numbers) or not all(number.isascii() and number.isdigit() for number in given):
        allowed = f"{name} {','.join(kind.numbers)}".strip()
        raise InputError(f"block {text!r} of layout {layout!r}: expected {allowed!r}, whole numbers")
    numbers = tuple(int(number) for number in given) + kind.defaults[len(given) :]
    if any(not 1 <= number <= 65536 for number in numbers):
        raise InputError(f"block {text!r} of layout {layout!r}: each number must lie in 1…65536")
    if name in ("cbr", "sep") and numbers[1] % 2 == 0:
        raise InputError(f"block {text!r} of layout {layout!r}: the kernel size must be odd")
    return Block(name, numbers)


def parse_layout(layout: str) -> tuple[Block, ...]:
    """Read a layout such as `cbr 128,5,2 | cbr 128 | inception | gap`.

    `cbr F,K,S` is a convolution with F filters of K×K and stride S, batch norm and ReLU (256, 3, 1 where
    not given); `sep F,K,S` a depthwise separable one; `res F,S,N` are N basic residual blocks of F filters,
    the first with stride S (256, 1, 2); `inception P` is the block of the supplementary, `inception_c P`,
    `inception_d P` and `inception_e P` are those of Inception-v3, all with P percent of their filters (100);
    `gap` is global average pooling; `dense N` a linear layer with ReLU (768). The linear layer to the groups
    is added by `build_branch`.

    >>> [str(block) for block in parse_layout("cbr 128,5,2 | inception 50 | gap | dense")]
    ['cbr 128,5,2', 'inception 50', 'gap', 'dense 768']

    Raises:
        InputError: a block or number is not one that is allowed, or the order makes no sense.
    """
    blocks = tuple(_parse_block(text.strip(), layout) for text in layout.split("|"))
    pooled = False
    for block in blocks:
        if pooled and KINDS[block.name].maps:
            raise InputError(
                f"layout {layout!r}: {block.name!r} needs maps, but stands after 'gap' or 'dense'"
            )
        pooled = pooled or block.name in ("gap", "dense")
    return blocks


def scale_layout(layout: str, factor: float) -> str:
    """The layout for a network of another width: filters, units and percentages times `factor`.

    Numbers are rounded and stay at 8 or more, those below 8 as they are. The defaults are written out, since
    they are scaled too. `light` goes by the shape of the feature anyway and stays as it is.

    >>> scale_layout("cbr 128,5,2 | inception | gap | dense", 0.25)
    'cbr 32,5,2 | inception 25 | gap | dense 192'

    Args:
        layout: a layout text, see `parse_layout`, or `light`.
        factor: width of the network as a share of the one that the layout was made for.

    Raises:
        InputError: the layout is not valid, or the factor is not positive.
    """
    if not 0 < factor < float("inf"):
        raise InputError(f"a layout is scaled by a positive factor, not {factor}")
    if layout.strip() == "light":
        return layout
    # The first number of every block is the one that says how wide it is.
    scaled_blocks = (
        Block(block.name, (scaled(block.numbers[0], factor), *block.numbers[1:])) if block.numbers else block
        for block in parse_layout(layout)
    )
    return " | ".join(str(block) for block in scaled_blocks)
