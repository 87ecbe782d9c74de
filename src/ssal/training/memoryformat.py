"""Training in channels-last memory, which is faster, kept away from the layers that it breaks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def _channel_block() -> int:
    """How many single-precision channels a vector register of this processor holds."""
    return 16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8


def _corrupts_memory(layer: nn.Module, block: int) -> bool:
    """Whether oneDNN writes behind its buffer in the backward pass of a layer whose input is channels-last.

    It does for strided 1×1 convolutions with fewer input channels than it takes at once
    (https://github.com/uxlfoundation/oneDNN/issues/6035): the shortcuts of narrow residual networks.
    """
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and max(layer.stride) > 1
        and layer.in_channels // layer.groups < block
    )


def _contiguous(tensor: Tensor) -> Tensor:
    """A copy, since a tensor of one channel or one pixel passes for both formats."""
    return tensor.clone(memory_format=torch.contiguous_format)


def _with_contiguous_input(layer: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_contiguous(arguments[0]), *arguments[1:])


@contextmanager
def safe_channels_last(model: nn.Module) -> Generator[None]:
    """Inside the block, a channels-last `model` can be trained on any processor.

    Layers that would corrupt memory get contiguous weights, and contiguous input until the block is left.
    """
    block = _channel_block()
    unsafe = [layer for layer in model.modules() if _corrupts_memory(layer, block)]
    for layer in unsafe:
        for parameter in layer.parameters():
            parameter.data = _contiguous(parameter.data)
    hooks = [layer.register_forward_pre_hook(_with_contiguous_input) for layer in unsafe]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
