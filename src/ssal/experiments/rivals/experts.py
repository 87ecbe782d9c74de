"""What the networks with one expert for each group of classes share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssal.branches import BranchNet, build_branch
from ssal.errors import InputError
from ssal.grouping import Grouping


def expert_layout(shape: Sequence[int], share: float) -> str:
    """A narrow copy of the stage that follows a tap, for features of `shape`.

    A stage of a residual network has twice the channels of the one before and half the resolution.

    >>> expert_layout((256, 8, 8), 0.25), expert_layout((192,), 0.25)
    ('res 128,2,2 | gap', 'dense 96')

    Args:
        shape: (C, H, W) of maps or (C,) of flat vectors.
        share: filters of the copy as a share of the stage's own.

    Raises:
        InputError: the share is not positive.
    """
    if not share > 0:
        raise InputError(f"the width of the experts must be positive, got {share}")
    filters = max(8, round(2 * share * shape[0]))
    return f"dense {filters}" if len(shape) == 1 else f"res {filters},2,2 | gap"


class GroupExperts(nn.Module):
    """One classifier for each group, which tells the classes of its group from each other.

    Args:
        grouping: the groups.
        shape: of the features that all experts read.
        layout: of each expert.
    """

    def __init__(self, grouping: Grouping, shape: Sequence[int], layout: str) -> None:
        super().__init__()
        members = [torch.from_numpy(grouping.members(group)) for group in range(grouping.num_groups)]
        # The only class of a group has nobody to be told from.
        self.crowded = tuple(len(classes) > 1 for classes in members)
        self.nets: nn.ModuleList = nn.ModuleList(
            build_branch(layout, shape, len(classes)) for classes in members if len(classes) > 1
        )
        self.register_buffer("order", torch.argsort(torch.cat(members)), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Log-probability of each class given its group, [N, C]; within each group they sum to one."""
        nets = iter(self.nets)
        parts = [
            self._inside(next(nets), features) if crowded else features.new_zeros(len(features), 1).float()
            for crowded in self.crowded
        ]
        return torch.cat(parts, dim=1).index_select(1, self.get_buffer("order"))

    @staticmethod
    def _inside(net: nn.Module, features: Tensor) -> Tensor:
        return net(features).float().log_softmax(dim=1)


def expert_bodies(count: int, shape: Sequence[int], layout: str) -> tuple[nn.ModuleList, int]:
    """`count` branches without their last linear layer, and the length of the vector that each delivers."""
    nets: list[BranchNet] = [build_branch(layout, shape, 2) for _ in range(count)]
    return nn.ModuleList(net.body for net in nets), nets[0].head.in_features
