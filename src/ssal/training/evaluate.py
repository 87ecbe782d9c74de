"""Outputs of a model over a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ssal.data import Batch
from ssal.joint import Outputs
from ssal.model import GroupedNetwork
from ssal.training.plan import Precision


@dataclass(frozen=True)
class Collected:
    """Outputs for N samples on the CPU in float32, with their classes and places in the data set."""

    outputs: Outputs
    targets: Tensor
    indices: Tensor


def default_device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def iterate_outputs(
    model: GroupedNetwork, loader: Iterable[Batch], precision: Precision = "32"
) -> Iterator[tuple[Outputs, Batch]]:
    """Outputs batch by batch, on the CPU in float32; the model is left in evaluation mode on its device."""
    device = default_device()
    # Weights that are moved or laid out anew in inference mode could never be trained or explained again.
    with torch.inference_mode(False):
        model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    for batch in loader:
        images = batch.images.to(device, memory_format=torch.channels_last, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            main, groups = model(images)
        yield Outputs(main.float().cpu(), tuple(group.float().cpu() for group in groups)), batch


def collect_outputs(model: GroupedNetwork, loader: Iterable[Batch], precision: Precision = "32") -> Collected:
    """Outputs of `model` for all samples of `loader`, in its order."""
    main: list[Tensor] = []
    groups: list[tuple[Tensor, ...]] = []
    targets: list[Tensor] = []
    indices: list[Tensor] = []
    for outputs, batch in iterate_outputs(model, loader, precision):
        main.append(outputs.main)
        groups.append(outputs.groups)
        targets.append(batch.targets)
        indices.append(batch.indices)
    branches = tuple(torch.cat(parts) for parts in zip(*groups, strict=True))
    return Collected(Outputs(torch.cat(main), branches), torch.cat(targets), torch.cat(indices))
