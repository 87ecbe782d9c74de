"""Maps with enough places to say where: those that are pooled, or finer ones that they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import cast

from ssal.branches import BranchNet
from ssal.evidence.sources import MapSource, pooled_layers, pooled_sources
from ssal.evidence.trials import dependence, map_shapes, places, watch
from ssal.model import SSALModel
from ssal.taps import find_layer

# A map of 2×2 places is no better than a random one at telling where.
_LEAST_PLACES = 9


def find_sources(model: SSALModel) -> tuple[MapSource | None, ...]:
    """Find the map of the main classifier and of each branch.

    It is that of `pooled_sources`, or where this has fewer than nine places, HiResCAM at the deepest layer
    that has more: of the branch itself, or else of the backbone. Modes must be those of evaluation: layers
    are judged by trial runs.

    Args:
        model: a model for images [N, C, H, W]; others have no maps.

    Returns:
        For each part, main classifier first, where to read its map; None where it reads none.
    """
    pooled = pooled_sources(model)
    coarse = [part for part, source in enumerate(pooled) if source and places(source.shape) < _LEAST_PLACES]
    finer = {part: source for part in coarse if (source := _of_branch(model, part))}
    finer |= _of_backbone(model, [part for part in coarse if part not in finer])
    return tuple(finer.get(part, source) for part, source in enumerate(pooled))


def _of_branch(model: SSALModel, part: int) -> MapSource | None:
    """The deepest fine maps of a branch, or of the one that it is read off."""
    own = [number for number in range(part) if model.reads[number]]
    if not own:
        return None
    branch, tap = cast(BranchNet, model.branches[own[-1]]), model.taps[own[-1]]
    layers = pooled_layers(model, branch, tap)
    fine = list(takewhile(lambda layer: places(layer[1]) >= _LEAST_PLACES, layers))
    return MapSource(*fine[-1], None, by_place=True) if fine else None


def _of_backbone(model: SSALModel, parts: Sequence[int]) -> dict[int, MapSource]:
    """For each part, the deepest fine maps of the backbone on which its logits depend."""
    known = map_shapes(model) if parts else []
    # Inside attention there are tensors that only look like maps: keep to the format of the last layer.
    shapes = [each for each in known if places(each) >= _LEAST_PLACES and each.format == known[-1].format]
    if not shapes:
        return {}
    outputs, maps = watch(model, shapes)
    deepest_first = list(zip(reversed(shapes), reversed(maps), strict=True))
    found: dict[int, MapSource] = {}
    for part in parts:
        judged = dependence((outputs.main, *outputs.groups)[part], deepest_first)
        shape = next((shape for shape, depends in judged if depends), None)
        if shape is not None:
            found[part] = MapSource(find_layer(model.backbone, shape.name), shape, None, by_place=True)
    return found
