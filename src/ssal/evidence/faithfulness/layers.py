"""The layers that the prediction of each part rests on, from its head downwards."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssal.branches import BranchNet
from ssal.model import SSALModel
from ssal.taps import TapStore, attach

# A network of fewer pieces than this would be randomised all at once.
_LEAST_PIECES = 4


@dataclass(frozen=True)
class Layer:
    """A piece of a model whose weights are randomised together.

    Attributes:
        name: as it is shown; layers of the backbone have their own names.
        path: dotted name within the model.
        parts: numbers of the parts that rest on it.
    """

    name: str
    path: str
    parts: frozenset[int]


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _children(name: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Children with weights, under their full names; none for a module with weights of its own."""
    if next(module.parameters(recurse=False), None) is not None:
        return []
    return [
        (f"{name}.{key}".lstrip("."), child) for key, child in module.named_children() if _has_weights(child)
    ]


def _size(module: nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def _pieces(backbone: nn.Module) -> list[str]:
    """Children of the backbone; large ones are opened until there are at least four pieces."""
    pieces = [(name, child) for name, child in backbone.named_children() if _has_weights(child)]
    while len(pieces) < _LEAST_PIECES:
        closed = [piece for piece in pieces if _children(*piece)]
        if not closed:
            break
        largest = max(closed, key=lambda piece: _size(piece[1]))
        place = pieces.index(largest)
        pieces[place : place + 1] = _children(*largest)
    return [name for name, _ in pieces]


def _completion(model: SSALModel, image: Tensor) -> dict[str, int]:
    """When each layer of the backbone has done its work."""
    store = TapStore()
    names = [name for name, _ in model.backbone.named_modules() if name]
    handles = attach(model.backbone, names, store)
    try:
        model(image)
    finally:
        for handle in handles:
            handle.remove()
    return {name: place for place, name in enumerate(store.outputs)}


def _backbone_layers(model: SSALModel, image: Tensor) -> list[Layer]:
    times = _completion(model, image)
    started = {
        piece: min((time for name, time in times.items() if f"{name}.".startswith(f"{piece}.")), default=None)
        for piece in _pieces(model.backbone)
    }
    layers: list[tuple[int, Layer]] = []
    for piece, time in started.items():
        if time is None:
            continue
        readers = {number for number, tap in enumerate(model.taps, start=1) if time <= times[tap.name]}
        layers.append((time, Layer(piece, f"backbone.{piece}", frozenset({0} | readers))))
    return [layer for _, layer in sorted(layers, key=lambda pair: pair[0], reverse=True)]


def _branch_layers(model: SSALModel) -> list[list[Layer]]:
    nets = {number: net for number, net in enumerate(model.branches, start=1) if isinstance(net, BranchNet)}
    ends = [*nets, len(model.branches) + 1][1:]
    # A branch with those that read their groups off its classes.
    families = {number: frozenset(range(number, end)) for number, end in zip(nets, ends, strict=True)}
    # What such groups make of a fused branch depends on what that reads.
    behind = frozenset[int]().union(
        *(families[number] - {number} for number in nets if model.specs[number - 1].fused)
    )
    found: list[list[Layer]] = []
    for number, net in nets.items():
        path, parts = f"branches.{number - 1}", families[number]
        blocks = [
            Layer(f"block {place + 1}", f"{path}.body.{place}", parts | behind)
            for place, block in enumerate(net.body)
            if _has_weights(block)
        ]
        found.append([Layer("head", f"{path}.head", parts), *reversed(blocks)])
    return found


@torch.no_grad()
def cascade_layers(model: SSALModel, image: Tensor) -> list[tuple[Layer, ...]]:
    """The order in which to randomise a model, so that each part loses its layers from the head downwards.

    The branches go at the same time, since the map of one does not rest on another: that of a fused branch is
    of its own features. Then comes the backbone from its head, which takes nothing from a branch until its
    tap is reached.

    Args:
        model: the model, in evaluation mode.
        image: any input [1, ...] of it.
    """
    branches = _branch_layers(model)
    depth = max(map(len, branches), default=0)
    together = [tuple(layers[step] for layers in branches if step < len(layers)) for step in range(depth)]
    return [*together, *((layer,) for layer in _backbone_layers(model, image))]
