"""Where the map of each part can be read: which layer, and whether a linear head stands on its mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from ssal.branches import BranchNet, GlobalAveragePool
from ssal.evidence.trials import Trial
from ssal.model import SSALModel
from ssal.modes import evaluating
from ssal.taps import TapShape, find_layer, to_maps

MapMethod = Literal["CAM", "Grad-CAM", "HiResCAM"]


@dataclass(frozen=True)
class MapSource:
    """A layer whose output is a map of the image.

    Attributes:
        layer: the layer.
        shape: how it lays out its output.
        head: the linear layer that reads the mean of the maps, so that a true CAM exists; None if the way to
            the logits is another, so that only gradients tell.
        by_place: without a head, whether each place counts by its own gradient, and not all by their mean.
    """

    layer: nn.Module
    shape: TapShape
    head: nn.Linear | None
    by_place: bool = False

    @property
    def method(self) -> MapMethod:
        """`CAM` where there is a head, else `HiResCAM` by place or `Grad-CAM` by the mean."""
        if self.head is not None:
            return "CAM"
        return "HiResCAM" if self.by_place else "Grad-CAM"


def pooled_sources(model: SSALModel) -> tuple[MapSource | None, ...]:
    """The maps that the main classifier and each branch pool.

    They are a true CAM where nothing but a linear layer follows; gradients tell what other maps count. Layers
    are judged by a trial run.

    Args:
        model: a model for images [N, C, H, W]; others have no maps.

    Returns:
        For each part, main classifier first, where to read its map; None where it reads none.
    """
    if len(model.input_shape) != 3:
        return (None,) * (1 + len(model.specs))
    branches: list[MapSource | None] = []
    with evaluating(model):
        for branch, tap, spec in zip(model.branches, model.taps, model.specs, strict=True):
            if isinstance(branch, BranchNet):
                branches.append(_branch_source(model, branch, tap, fused=spec.fused))
            else:
                branches.append(_without_head(branches[-1]))
        return (_main_source(model), *branches)


def _without_head(source: MapSource | None) -> MapSource | None:
    """The maps of the branch that a summed one reads: its groups are no linear function of their mean."""
    return None if source is None else replace(source, head=None)


def _branch_source(model: SSALModel, branch: BranchNet, tap: TapShape, *, fused: bool) -> MapSource | None:
    """The maps that go into the global average pooling of a branch.

    Those of a fused branch are its own, at its own layer; the mean of them is not all that its head reads.
    """
    layers = pooled_layers(model, branch, tap)
    if not layers:
        return None
    ends = len(layers) == len(branch.body)
    return MapSource(*layers[-1], branch.head if ends and not fused else None)


def pooled_layers(model: SSALModel, branch: BranchNet, tap: TapShape) -> list[tuple[nn.Module, TapShape]]:
    """The tap of a branch and its blocks up to the global average pooling; none without one."""
    blocks = list(branch.body)
    place = next((place for place, block in enumerate(blocks) if isinstance(block, GlobalAveragePool)), None)
    if place is None:
        return []
    found = [(find_layer(model.backbone, tap.name), tap)]
    maps = branch.head.weight.new_zeros((1, *tap.feature))
    for block in blocks[:place]:
        maps = block(maps)
        found.append((block, TapShape("", "NCHW", *maps.shape[1:])))
    return found


def _main_source(model: SSALModel) -> MapSource | None:
    """The deepest maps that a linear head averages, or else the deepest on which the logits depend."""
    trial = Trial(model)
    deepest_first = trial.layers[::-1]
    for layer in deepest_first:
        for head in _heads(model, layer.shape.channels):
            if _reads_mean(head, to_maps(layer.output, layer.shape), trial.logits[0]):
                return MapSource(find_layer(model.backbone, layer.shape.name), layer.shape, head)
    for layer in deepest_first:
        # Inside attention there are tensors that only look like maps: keep to the form of the last layer.
        alike = _form(layer.shape) == _form(deepest_first[0].shape)
        # After the last attention of a transformer, the class token takes nothing from the places any more.
        if alike and trial.depends(0, layer):
            return MapSource(find_layer(model.backbone, layer.shape.name), layer.shape, None)
    return None


def _form(shape: TapShape) -> tuple[object, ...]:
    return shape.format, shape.feature, shape.prefix_tokens


def _heads(model: SSALModel, channels: int) -> list[nn.Linear]:
    layers = [layer for layer in model.backbone.modules() if isinstance(layer, nn.Linear)]
    return [head for head in layers if (head.in_features, head.out_features) == (channels, model.num_classes)]


def _reads_mean(head: nn.Linear, maps: Tensor, logits: Tensor) -> bool:
    """Whether the logits are what the head makes of the mean of the maps: the condition for a true CAM."""
    weighted = maps.mean(dim=(2, 3)) @ head.weight.T
    bias = cast(Tensor | None, head.bias)
    expected = logits if bias is None else logits - bias
    scale = expected.abs().max()
    # Where all are zero, as in a head that was never trained, every layer would do.
    return bool(scale > 0) and bool((weighted - expected).abs().max() <= scale * _tolerance(logits))


def _tolerance(values: Tensor) -> float:
    return torch.finfo(values.dtype).eps ** 0.5
