"""A trial run of a model on noise: which layers make maps, and how the logits rest on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from ssal.evidence.fused import own_features
from ssal.model import SSALModel
from ssal.taps import TapShape, TapStore, attach, tappable_layers, to_maps


def places(shape: TapShape) -> int:
    """Number of places of a map."""
    return shape.height * shape.width


@dataclass(frozen=True)
class TriedLayer:
    """A layer of the backbone whose output is a map.

    Attributes:
        shape: name and layout of the output.
        output: what it gave for the noise, with its graph.
    """

    shape: TapShape
    output: Tensor


class Trial:
    """The run of a model on noise.

    The logits of a fused branch are given a graph of its own features only.

    Args:
        model: a model for images, in evaluation mode.

    Attributes:
        logits: of each part, main classifier first, [2, K].
        layers: those that make maps, in the order of their work.
    """

    def __init__(self, model: SSALModel) -> None:
        shapes = [shape for shape in tappable_layers(model.backbone, model.input_shape) if places(shape) > 1]
        store = TapStore()
        handles = attach(model.backbone, [shape.name for shape in shapes], store)
        noise = _noise(model)
        try:
            with torch.enable_grad(), own_features(model):
                outputs = model(noise.requires_grad_())
        finally:
            for handle in handles:
                handle.remove()
        self.logits = (outputs.main, *outputs.groups)
        self.layers = [TriedLayer(shape, store.outputs[shape.name]) for shape in shapes]
        self._noise = noise

    def depends(self, part: int, layer: TriedLayer) -> bool:
        """Whether the first logit of a part depends on the maps of a layer."""
        if not (layer.output.requires_grad and self.logits[part].requires_grad):
            return False
        with torch.enable_grad():
            first = self.logits[part][:, 0].sum()
        gradients = torch.autograd.grad(first, [layer.output], retain_graph=True, allow_unused=True)
        [gradient] = cast(tuple[Tensor | None], gradients)
        return gradient is not None and bool(to_maps(gradient, layer.shape).any())

    def passes_through(self, part: int, layer: TriedLayer) -> bool:
        """Whether all that the logits of a part know of the image has passed through a layer.

        Not so inside of a block with a shortcut, or in attention, where other ways lead past it.
        """
        logits, node = self.logits[part].grad_fn, layer.output.grad_fn
        image = get_gradient_edge(self._noise).node
        return _leads_to(logits, node) and not _leads_to(logits, image, without=node)


def _leads_to(start: Any, goal: Any, without: Any = None) -> bool:
    """Whether the graph of gradients has a way from one node to another that spares a third."""
    visited, waiting = {without}, [start]
    while waiting:
        node = waiting.pop()
        if node is None or node in visited:
            continue
        if node == goal:
            return True
        visited.add(node)
        waiting += [following for following, _ in node.next_functions]
    return False


def _noise(model: SSALModel) -> Tensor:
    """Two samples that no layer can mistake for blank ones; the global random state is left alone."""
    like = next(iter(model.parameters()), torch.zeros(()))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((2, *model.input_shape), generator=generator)
    return noise.to(like.device, like.dtype)
