"""What a network costs: parameters and floating-point operations."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters.

    >>> count_parameters(nn.Linear(3, 2))
    8
    """
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def count_flops(module: nn.Module, input_shape: Sequence[int]) -> int:
    """Floating-point operations of one forward pass of one sample, a multiply-add counted as two.

    Convolutions and matrix products count, element-wise work does not. Nothing is computed: the pass runs on
    a copy without storage.

    >>> count_flops(nn.Linear(3, 2), (3,))
    12
    """
    weightless = copy.deepcopy(module).to("meta").eval()
    sample = torch.zeros((1, *input_shape), device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        weightless(sample)
    return int(counter.get_total_flops())
