"""Whether the maps change when the weights are random (Adebayo et al., 2018)."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ssal.evidence.faithfulness.layers import Layer, cascade_layers
from ssal.evidence.faithfulness.likeness import rank_correlation, structural_similarity
from ssal.evidence.faithfulness.orders import make_generator
from ssal.evidence.faithfulness.reader import MapReader, transplant
from ssal.evidence.faithfulness.results import Cascade, Stage, Subject
from ssal.evidence.faithfulness.survey import own_maps

_WEIGHTS = 4

Likeness = tuple[NDArray[np.float64], NDArray[np.float64]]


@torch.no_grad()
def randomise_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Put random weights in the place of the learnt ones, in place; the global random state is left alone.

    Layers that know how to start anew do so; of the others, the values of each tensor change places.

    Args:
        module: on the CPU.
        generator: where the random numbers come from.
    """
    for part in module.modules():
        own = list(part.parameters(recurse=False))
        reset = getattr(part, "reset_parameters", None)
        if callable(reset) and own:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
                reset()
            continue
        for weights in own:
            order = torch.randperm(weights.numel(), generator=generator)
            weights.copy_(weights.flatten()[order].view_as(weights))


def _draw(
    reader: MapReader,
    plan: Sequence[tuple[Layer, ...]],
    images: Tensor,
    own: Tensor,
    maps: Sequence[Tensor | None],
    generator: torch.Generator,
) -> dict[tuple[int, int], Likeness]:
    """Randomise a copy of the model layer by layer: likeness of the maps by part and step of `plan`."""
    model = copy.deepcopy(reader.model)
    twin = MapReader(model, transplant(reader.sources, reader.model, model))
    size = (images.shape[2], images.shape[3])
    found: dict[tuple[int, int], Likeness] = {}
    for step, layers in enumerate(plan):
        model.cpu()
        for layer in layers:
            randomise_weights(model.get_submodule(layer.path), generator)
        model.to(images.device)
        for part, (before, after) in enumerate(zip(maps, own_maps(twin, images, own), strict=True)):
            concerned = any(part in layer.parts for layer in layers)
            if concerned and before is not None and after is not None:
                likeness = rank_correlation(before, after), structural_similarity(before, after, size)
                found[part, step] = likeness
    return found


def randomise(
    reader: MapReader,
    subjects: Sequence[Subject],
    images: Tensor,
    own: Tensor,
    maps: Sequence[Tensor | None],
    draws: int,
    seed: int,
) -> tuple[Cascade, ...]:
    """Compare the maps of a model with those of copies that lose their weights from the heads downwards.

    Args:
        reader: reads the maps of the model, which stays as it is.
        subjects: the main classifier and the branches.
        images: [N, C, H, W].
        own: what is explained, int64 [B + 1, N]; it stays the same, whatever the random networks predict.
        maps: the maps of the model for it.
        draws: how many times to draw the random weights; likeness is averaged.
        seed: of the random weights.

    Returns:
        One cascade for each part with maps.
    """
    plan = cascade_layers(reader.model, images[:1])
    runs = [
        _draw(reader, plan, images, own, maps, make_generator(seed, _WEIGHTS, number))
        for number in range(draws)
    ]
    cascades: list[Cascade] = []
    for part, (subject, found) in enumerate(zip(subjects, maps, strict=True)):
        if found is None:
            continue
        stages: list[Stage] = []
        for step, layers in enumerate(plan):
            # Of several at once, where a part reads other branches, the first says how deep it goes.
            names = [layer.name for layer in layers if part in layer.parts]
            if names:
                rank, structure = (float(np.mean([run[part, step][kind] for run in runs])) for kind in (0, 1))
                stages.append(Stage(names[0], rank, structure))
        # Half the set away: the images may be sorted by class.
        strangers = rank_correlation(found, found.roll(len(found) // 2, dims=0))
        cascades.append(Cascade(subject, tuple(stages), float(strangers.mean())))
    return tuple(cascades)
