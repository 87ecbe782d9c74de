"""Maps with enough places to say where: those that are pooled, or finer ones that they were made of."""

from __future__ import annotations

from itertools import takewhile
from typing import cast

from ssal.branches import BranchNet
from ssal.evidence.sources import MapSource, pooled_layers, pooled_sources
from ssal.evidence.trials import Trial, places
from ssal.model import SSALModel
from ssal.modes import evaluating
from ssal.taps import find_layer

# A map of 2×2 places is no better than a random one at telling where.
_LEAST_PLACES = 9


def find_sources(model: SSALModel) -> tuple[MapSource | None, ...]:
    """Find the map of the main classifier and of each branch.

    It is that of `pooled_sources`. Where this has fewer than nine places, it is HiResCAM at the deepest layer
    that has nine or more and that all which is pooled has passed through: of the branch itself, or else of
    the backbone; without one, the map that is pooled after all.

    Args:
        model: a model for images [N, C, H, W]; others have no maps.

    Returns:
        For each part, main classifier first, where to read its map; None where it reads none.
    """
    pooled = pooled_sources(model)
    coarse = [part for part, source in enumerate(pooled) if source and places(source.shape) < _LEAST_PLACES]
    if not coarse:
        return pooled
    with evaluating(model):
        finer = {part: source for part in coarse if (source := _of_branch(model, part))}
        if len(finer) < len(coarse):
            trial = Trial(model)
            finer |= {part: _of_backbone(model, trial, part) for part in coarse if part not in finer}
    return tuple(finer.get(part) or source for part, source in enumerate(pooled))


def _of_branch(model: SSALModel, part: int) -> MapSource | None:
    """The deepest fine maps of a branch, or of the one that it is read off."""
    own = [number for number in range(part) if model.reads[number]]
    if not own:
        return None
    branch, tap = cast(BranchNet, model.branches[own[-1]]), model.taps[own[-1]]
    layers = pooled_layers(model, branch, tap)
    fine = list(takewhile(lambda layer: places(layer[1]) >= _LEAST_PLACES, layers))
    return MapSource(*fine[-1], None, by_place=True) if fine else None


def _of_backbone(model: SSALModel, trial: Trial, part: int) -> MapSource | None:
    """The deepest fine maps of the backbone that the logits of a part rest on, and on nothing beside them."""
    for layer in reversed(trial.layers):
        fine = places(layer.shape) >= _LEAST_PLACES
        # What is laid out in another way than the last layer's may only look like a map.
        alike = layer.shape.format == trial.layers[-1].shape.format
        if fine and alike and trial.passes_through(part, layer):
            return MapSource(find_layer(model.backbone, layer.shape.name), layer.shape, None, by_place=True)
    return None
