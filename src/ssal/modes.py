"""A network as it is used for evidence: in evaluation, left as it was found."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Put `model` into evaluation mode without gradients, and its modes back at the end."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        # Gradients cannot be taken of what is made in inference mode.
        with torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
