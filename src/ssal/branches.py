"""Branches: from a layout text and the shape of a feature to a module that predicts the group."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssal.errors import InputError, unknown_name

_BLOCK = re.compile(r"(?P<name>[a-z_]+)\s*(?P<numbers>[^a-z_]*)")


@dataclass(frozen=True)
class Block:
    """One block of a layout: its name and its numbers, defaults filled in."""

    name: str
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        """The block as it is written in a layout."""
        return f"{self.name} {','.join(map(str, self.numbers))}".strip()


def _conv_bn_relu(inputs: int, filters: int, kernel: tuple[int, int], stride: int = 1) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, filters, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(inplace=True),
    )


class Inception(nn.Module):
    """The Inception block of the published branches: four paths, 748 channels out.

    1×1/128 · 1×1/128 → {1×3/128, 3×1/128} · 1×1/160 → 1×1/128 → {1×3/128, 3×1/128} ·
    average pool 3×3 → 3×1/108.
    """

    channels = 128 + 2 * 128 + 2 * 128 + 108

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.point = _conv_bn_relu(inputs, 128, (1, 1))
        self.short = _conv_bn_relu(inputs, 128, (1, 1))
        self.short_row = _conv_bn_relu(128, 128, (1, 3))
        self.short_column = _conv_bn_relu(128, 128, (3, 1))
        self.long = nn.Sequential(_conv_bn_relu(inputs, 160, (1, 1)), _conv_bn_relu(160, 128, (1, 1)))
        self.long_row = _conv_bn_relu(128, 128, (1, 3))
        self.long_column = _conv_bn_relu(128, 128, (3, 1))
        self.pooled = nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), _conv_bn_relu(inputs, 108, (3, 1)))

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, H, W] → [N, 748, H, W]."""
        short, long = self.short(maps), self.long(maps)
        paths = (
            self.point(maps),
            self.short_row(short),
            self.short_column(short),
            self.long_row(long),
            self.long_column(long),
            self.pooled(maps),
        )
        return torch.cat(paths, dim=1)


def _gap(channels: int) -> tuple[nn.Module, int]:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1)), channels


def _cbr(channels: int, filters: int, kernel: int, stride: int) -> tuple[nn.Module, int]:
    return _conv_bn_relu(channels, filters, (kernel, kernel), stride), filters


def _dense(channels: int, units: int) -> tuple[nn.Module, int]:
    return nn.Sequential(nn.Linear(channels, units), nn.ReLU(inplace=True)), units


@dataclass(frozen=True)
class _Kind:
    """What a block name stands for; `maps` tells whether it takes maps or vectors."""

    build: Callable[..., tuple[nn.Module, int]]
    maps: bool
    numbers: tuple[str, ...] = ()
    defaults: tuple[int, ...] = ()


_KINDS = {
    "cbr": _Kind(_cbr, maps=True, numbers=("filters", "kernel", "stride"), defaults=(256, 3, 1)),
    "inception": _Kind(lambda channels: (Inception(channels), Inception.channels), maps=True),
    "gap": _Kind(_gap, maps=True),
    "dense": _Kind(_dense, maps=False, numbers=("units",), defaults=(768,)),
}


def _parse_block(text: str, layout: str) -> Block:
    match = _BLOCK.fullmatch(text)
    name = match["name"] if match else text
    if match is None or name not in _KINDS:
        raise unknown_name("block", name, [*_KINDS, "light"])
    kind = _KINDS[name]
    given = [number.strip() for number in match["numbers"].split(",")] if match["numbers"].strip() else []
    if len(given) > len(kind.numbers) or not all(number.isascii() and number.isdigit() for number in given):
        allowed = f"{name} {','.join(kind.numbers)}".strip()
        raise InputError(f"block {text!r} of layout {layout!r}: expected {allowed!r}, whole numbers")
    numbers = tuple(int(number) for number in given) + kind.defaults[len(given) :]
    if any(not 1 <= number <= 65536 for number in numbers):
        raise InputError(f"block {text!r} of layout {layout!r}: each number must lie in 1…65536")
    if name == "cbr" and numbers[1] % 2 == 0:
        raise InputError(f"block {text!r} of layout {layout!r}: the kernel size must be odd")
    return Block(name, numbers)


def parse_layout(layout: str) -> tuple[Block, ...]:
    """Read a layout such as `cbr 128,5,2 | cbr 128 | inception | gap`.

    `cbr F,K,S` is a convolution with F filters of K×K and stride S, batch norm and ReLU (256, 3, 1 where
    not given); `inception` the block of the supplementary; `gap` global average pooling; `dense N` a linear
    layer with ReLU (768). The linear layer to the groups is added by `build_branch`.

    >>> [str(block) for block in parse_layout("cbr 128,5,2 | gap | dense")]
    ['cbr 128,5,2', 'gap', 'dense 768']

    Raises:
        InputError: a block or number is not one that is allowed, or the order makes no sense.
    """
    blocks = tuple(_parse_block(text.strip(), layout) for text in layout.split("|"))
    pooled = False
    for block in blocks:
        if pooled and _KINDS[block.name].maps:
            raise InputError(
                f"layout {layout!r}: {block.name!r} needs maps, but stands after 'gap' or 'dense'"
            )
        pooled = pooled or block.name in ("gap", "dense")
    return blocks


def light_layout(shape: Sequence[int]) -> str:
    """The default layout for features of `shape`: about 3 % of the cost of a ResNet-18 for each branch.

    Resolution is cut first, since cost falls with its square, then channels.

    >>> light_layout((64, 8, 8))
    'cbr 96,3,2 | gap'
    """
    if len(shape) == 1:
        return f"dense {min(256, shape[0])}"
    channels, side = shape[0], max(shape[1:])
    stride = max(1, min(4, side // 4))
    if side <= 8:
        return f"cbr {max(32, 3 * channels // 2)},3,{stride} | gap"
    filters = max(32, 2 * channels if side <= 16 else 3 * channels)
    return f"cbr {filters},3,{stride} | cbr {filters + filters // 2},3,2 | gap"


class BranchNet(nn.Module):
    """A body that ends in a vector, and the linear layer to the groups.

    Attributes:
        body: maps [N, C, H, W] or vectors [N, C] → [N, D].
        head: [N, D] → logits [N, k].
    """

    def __init__(self, body: nn.Sequential, head: nn.Linear) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, feature: Tensor) -> Tensor:
        """Group logits [N, k]."""
        return self.head(self.body(feature))


def build_branch(layout: str, shape: Sequence[int], num_groups: int) -> BranchNet:
    """Build the branch that `layout` describes for features of `shape`.

    Args:
        layout: a layout text, see `parse_layout`, or `light`.
        shape: (C, H, W) of maps or (C,) of flat vectors.
        num_groups: k, size of the output.

    Raises:
        InputError: the layout is not valid or does not fit (`cbr` on flat vectors, no `gap` after maps).
    """
    if num_groups < 2:
        raise InputError(f"a branch needs at least 2 groups, got {num_groups}")
    blocks = parse_layout(light_layout(shape) if layout.strip() == "light" else layout)
    channels, flat = shape[0], len(shape) == 1
    modules: list[nn.Module] = []
    for block in blocks:
        kind = _KINDS[block.name]
        if kind.maps == flat:
            remedy = "use 'dense' blocks only" if flat else "put 'gap' before it"
            have = "flat vectors" if flat else "maps"
            raise InputError(f"layout {layout!r}: {block.name!r} cannot read {have} {tuple(shape)}; {remedy}")
        module, channels = kind.build(channels, *block.numbers)
        modules.append(module)
        flat = flat or block.name == "gap"
    if not flat:
        raise InputError(f"layout {layout!r} ends in maps; add '| gap'")
    return BranchNet(nn.Sequential(*modules), nn.Linear(channels, num_groups))
