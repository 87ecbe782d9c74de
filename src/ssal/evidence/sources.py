"""Where the map of each part can be read: which layer, and whether a linear head stands on its mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from ssal.branches import BranchNet, GlobalAveragePool
from ssal.model import SSALModel
from ssal.taps import TapShape, TapStore, attach, find_layer, tappable_layers, to_maps


@dataclass(frozen=True)
class MapSource:
    """A layer whose output is a map of the image.

    Attributes:
        layer: the layer.
        shape: how it lays out its output.
        head: the linear layer that reads the mean of the maps, so that a true CAM exists; None if the way to
            the logits is another, so that only gradients tell.
    """

    layer: nn.Module
    shape: TapShape
    head: nn.Linear | None

    @property
    def method(self) -> str:
        """`CAM` where there is a head, else `Grad-CAM`."""
        return "Grad-CAM" if self.head is None else "CAM"


def find_sources(model: SSALModel) -> tuple[MapSource | None, ...]:
    """Find the map of the main classifier and of each branch.

    Modes must be those of evaluation: the main classifier is judged by trial runs.

    Args:
        model: a model for images [N, C, H, W]; others have no maps.

    Returns:
        For each part, main classifier first, where to read its map; None where it reads none.
    """
    if len(model.input_shape) != 3:
        return (None,) * (1 + len(model.specs))
    branches: list[MapSource | None] = []
    for branch, tap, spec in zip(model.branches, model.taps, model.specs, strict=True):
        if isinstance(branch, BranchNet):
            branches.append(_branch_source(model, branch, tap, fused=spec.fused))
        else:
            branches.append(_without_head(branches[-1]))
    return (_main_source(model), *branches)


def _without_head(source: MapSource | None) -> MapSource | None:
    """The maps of the branch that a summed one reads: its groups are no linear function of their mean."""
    return None if source is None else replace(source, head=None)


def _places(shape: TapShape) -> int:
    return shape.height * shape.width


def _branch_source(model: SSALModel, branch: BranchNet, tap: TapShape, *, fused: bool) -> MapSource | None:
    """The maps that go into the global average pooling of a branch.

    Those of a fused branch are its own, at its own layer; the mean of them is not all that its head reads.
    """
    blocks = list(branch.body)
    pooling = [index for index, block in enumerate(blocks) if isinstance(block, GlobalAveragePool)]
    if not pooling:
        return None
    head = branch.head if pooling[0] == len(blocks) - 1 and not fused else None
    if pooling[0] == 0:
        return MapSource(find_layer(model.backbone, tap.name), tap, head)
    return MapSource(blocks[pooling[0] - 1], TapShape("", "NCHW", 0), head)


def _noise(model: SSALModel) -> Tensor:
    """Two samples that no layer can mistake for blank ones; the global random state is left alone."""
    like = next(iter(model.parameters()), torch.zeros(()))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((2, *model.input_shape), generator=generator)
    return noise.to(like.device, like.dtype)


def _watch(model: SSALModel, shapes: Sequence[TapShape]) -> tuple[Tensor, list[Tensor]]:
    """Logits of the main classifier for noise, and the outputs of layers, with their graph."""
    store = TapStore()
    handles = attach(model.backbone, [shape.name for shape in shapes], store)
    try:
        with torch.enable_grad():
            logits = model(_noise(model).requires_grad_()).main
    finally:
        for handle in handles:
            handle.remove()
    return logits, [store.outputs[shape.name] for shape in shapes]


def _main_source(model: SSALModel) -> MapSource | None:
    """The deepest maps that a linear head averages, or else the deepest on which the logits depend."""
    shapes = [shape for shape in tappable_layers(model.backbone, model.input_shape) if _places(shape) > 1]
    if not shapes:
        return None
    logits, outputs = _watch(model, shapes)
    deepest_first = list(zip(reversed(shapes), reversed(outputs), strict=True))
    for shape, output in deepest_first:
        for head in _heads(model, shape.channels):
            if _reads_mean(head, to_maps(output, shape), logits):
                return MapSource(find_layer(model.backbone, shape.name), shape, head)
    # Inside attention there are tensors that only look like maps: keep to the form of the last layer.
    alike = [pair for pair in deepest_first if _form(pair[0]) == _form(shapes[-1])]
    for shape, depends in _dependence(logits, alike):
        # After the last attention of a transformer, the class token takes nothing from the places any more.
        if depends:
            return MapSource(find_layer(model.backbone, shape.name), shape, None)
    return None


def _dependence(logits: Tensor, layers: Sequence[tuple[TapShape, Tensor]]) -> Iterator[tuple[TapShape, bool]]:
    """Of each layer, whether the first logit depends on its maps."""
    with torch.enable_grad():
        first = logits[:, 0].sum()
    gradients = torch.autograd.grad(first, [output for _, output in layers], allow_unused=True)
    for (shape, _), gradient in zip(layers, cast(Sequence[Tensor | None], gradients), strict=True):
        yield shape, gradient is not None and bool(to_maps(gradient, shape).any())


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
