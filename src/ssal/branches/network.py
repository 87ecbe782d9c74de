"""The branch itself: the module that a layout describes, for a given feature shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssal.branches.layout import KINDS, parse_layout
from ssal.errors import InputError


def light_layout(shape: Sequence[int], *, fused: bool = False) -> str:
    """The default layout for features of `shape`: about 3 % of the cost of a ResNet-18 for each branch.

    Resolution is cut first, since cost falls with its square, then channels: no layer but the last has more
    than 256 filters, as in the published branches. A fused branch has the others' convolutions to read, and
    adds none of its own.

    >>> light_layout((64, 8, 8)), light_layout((64, 8, 8), fused=True)
    ('cbr 96,3,2 | gap', 'gap')
    """
    if len(shape) == 1:
        return f"dense {min(256, shape[0])}"
    if fused:
        return "gap"
    channels, side = shape[0], max(shape[1:])
    stride = max(1, min(4, round(side / 4)))
    if side <= 8:
        return f"cbr {_between(3 * channels // 2)},3,{stride} | gap"
    filters = _between(2 * channels if side <= 16 else 3 * channels)
    return f"cbr {filters},3,{stride} | cbr {filters + filters // 2},3,2 | gap"


def _between(filters: int) -> int:
    """Bounded below, since few filters tell few groups apart, and above: bottlenecks have wide maps."""
    return max(32, min(filters, 256))


class BranchNet(nn.Module):
    """A body that ends in a vector, and the linear layer to the groups.

    Attributes:
        body: maps [N, C, H, W] or vectors [N, C] → [N, D].
        head: [N, D] → logits [N, k]; of a fused branch, [N, D + sizes of the other branches' vectors].
    """

    def __init__(self, body: nn.Sequential, head: nn.Linear) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, feature: Tensor) -> Tensor:
        """Group logits [N, k]."""
        return self.head(self.body(feature))


class SummedGroups(nn.Module):
    """Groups read off the classes: the probability of a group is the sum of those of its members.

    It has no weights. In place of probabilities it takes and gives logits, log Σ_{c in group} exp z_c, whose
    softmax over the groups is that sum.
    """

    def forward(self, classes: Tensor, labels: Tensor, num_groups: int) -> Tensor:
        """Group logits [N, k].

        Args:
            classes: class logits [N, C].
            labels: the map class → group, int64 [C].
            num_groups: k.
        """
        logits = classes.float()
        place = labels.expand_as(logits)
        empty = logits.new_full((logits.shape[0], num_groups), float("-inf"))
        # Each group has a maximum of its own, so that none of them underflows.
        largest = empty.scatter_reduce(1, place, logits.detach(), "amax")
        parts = (logits - largest.gather(1, place)).exp()
        return largest + torch.zeros_like(empty).scatter_add(1, place, parts).log()


def build_branch(layout: str, shape: Sequence[int], num_groups: int, others: int = 0) -> BranchNet:
    """Build the branch that `layout` describes for features of `shape`.

    Args:
        layout: a layout text, see `parse_layout`, or `light`.
        shape: (C, H, W) of maps or (C,) of flat vectors.
        num_groups: k, size of the output.
        others: sizes of the other branches' vectors, in all, where the branch is fused with them; else 0.

    Raises:
        InputError: the layout is not valid or does not fit (`cbr` on flat vectors, no `gap` after maps).
    """
    if num_groups < 2:
        raise InputError(f"a branch needs at least 2 groups, got {num_groups}")
    blocks = parse_layout(light_layout(shape, fused=others > 0) if layout.strip() == "light" else layout)
    channels, flat = shape[0], len(shape) == 1
    modules: list[nn.Module] = []
    for block in blocks:
        kind = KINDS[block.name]
        if kind.maps == flat:
            remedy = "use 'dense' blocks only" if flat else "put 'gap' before it"
            have = "flat vectors" if flat else "maps"
            raise InputError(f"layout {layout!r}: {block.name!r} cannot read {have} {tuple(shape)}; {remedy}")
        module, channels = kind.build(channels, *block.numbers)
        modules.append(module)
        flat = flat or block.name == "gap"
    if not flat:
        raise InputError(f"layout {layout!r} ends in maps; add '| gap'")
    return BranchNet(nn.Sequential(*modules), nn.Linear(channels + others, num_groups))
