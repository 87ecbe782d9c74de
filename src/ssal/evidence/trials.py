"""Trial runs of a model on noise: which layers make maps, and which logits depend on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from ssal.joint import Outputs
from ssal.model import SSALModel
from ssal.taps import TapShape, TapStore, attach, tappable_layers, to_maps


def places(shape: TapShape) -> int:
    """Number of places of a map."""
    return shape.height * shape.width


def map_shapes(model: SSALModel) -> list[TapShape]:
    """Layers of the backbone whose output is a map, in the order of their work."""
    return [shape for shape in tappable_layers(model.backbone, model.input_shape) if places(shape) > 1]


def _noise(model: SSALModel) -> Tensor:
    """Two samples that no layer can mistake for blank ones; the global random state is left alone."""
    like = next(iter(model.parameters()), torch.zeros(()))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((2, *model.input_shape), generator=generator)
    return noise.to(like.device, like.dtype)


def watch(model: SSALModel, shapes: Sequence[TapShape]) -> tuple[Outputs, list[Tensor]]:
    """Logits for noise, and the outputs of layers, with their graph."""
    store = TapStore()
    handles = attach(model.backbone, [shape.name for shape in shapes], store)
    try:
        with torch.enable_grad():
            outputs = model(_noise(model).requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    return outputs, [store.outputs[shape.name] for shape in shapes]


def dependence(logits: Tensor, layers: Sequence[tuple[TapShape, Tensor]]) -> Iterator[tuple[TapShape, bool]]:
    """Of each layer, whether the first logit depends on its maps."""
    with torch.enable_grad():
        first = logits[:, 0].sum()
    gradients = torch.autograd.grad(
        first, [output for _, output in layers], retain_graph=True, allow_unused=True
    )
    for (shape, _), gradient in zip(layers, cast(Sequence[Tensor | None], gradients), strict=True):
        yield shape, gradient is not None and bool(to_maps(gradient, shape).any())
