"""From a model and images to the checks of its explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ssal.errors import InputError
from ssal.evidence.faithfulness.baselines import check_baseline, make_baselines
from ssal.evidence.faithfulness.contestants import find_contestants
from ssal.evidence.faithfulness.contests import hold_contests
from ssal.evidence.faithfulness.occlusion import Occlusion, Score
from ssal.evidence.faithfulness.randomise import randomise
from ssal.evidence.faithfulness.reader import MapReader, Sources
from ssal.evidence.faithfulness.results import ExplanationChecks, Method, Subject
from ssal.evidence.faithfulness.survey import survey
from ssal.evidence.faithfulness.targets import probabilities
from ssal.evidence.finer import find_sources
from ssal.evidence.sources import MapMethod
from ssal.joint import Exponents
from ssal.model import SSALModel
from ssal.modes import evaluating

Precision = Literal["32", "bf16"]

_METHODS: Mapping[MapMethod, Method] = {"CAM": "cam", "Grad-CAM": "gradcam", "HiResCAM": "hirescam"}
_CHUNK, _LEAST_CHUNK = 256, 16
# Input values judged at once: a chunk of 256 images of 32×32 in colour.
_VALUES = _CHUNK * 3 * 32 * 32


def _check(model: SSALModel, images: Tensor, exponents: Exponents, **least: tuple[int, int]) -> None:
    if images.shape[1:] != model.input_shape:
        raise InputError(
            f"images must be [N, {', '.join(map(str, model.input_shape))}], not {[*images.shape]}"
        )
    if len(images) < 2:
        raise InputError(f"the checks need two images at least, got {len(images)}")
    if model.num_classes < 2:
        raise InputError("the checks need a model of two classes at least")
    if len(exponents.branches) != len(model.specs):
        raise InputError(f"{len(exponents.branches)} exponents given for {len(model.specs)} branches")
    for name, (given, smallest) in least.items():
        if given < smallest:
            raise InputError(f"{name} must be {smallest} at least, got {given}")


def _subjects(model: SSALModel) -> tuple[Subject, ...]:
    branches = (Subject("branch", name, number) for number, name in enumerate(model.branch_names, start=1))
    return (Subject("main", "main"), *branches)


def _methods(sources: Sources) -> tuple[Method, ...]:
    return tuple("gradcam" if source is None else _METHODS[source.method] for source in sources)


def _scorer(model: SSALModel, exponents: Exponents, own: Tensor, precision: Precision) -> Score:
    def score(images: Tensor, numbers: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
            outputs = model(images)
        return probabilities(outputs, model.labels, exponents, own[:, numbers])

    return score


def check_explanations(
    model: SSALModel,
    images: Tensor,
    exponents: Exponents | None = None,
    *,
    baseline: str = "blur",
    steps: int = 16,
    pairs: int = 2,
    weight_draws: int = 2,
    precision: Precision = "32",
    seed: int = 0,
) -> ExplanationChecks:
    """Test whether the maps of a model are true to it.

    * Deletion and insertion (Petsiuk et al., 2018): pixels are removed from the image, or added to the
      baseline, in the order of the map; the score is the probability of the class or group that the map
      explains. Against random maps of the same resolution, against a Gaussian in the centre of the image, and
      against the part's own map for another class or group.
    * Cascading randomisation (Adebayo et al., 2018): weights are drawn anew from the head downwards, in a
      copy of the model; a map that stays the same does not show what was learnt.

    The joint prediction is tested with Σ η·map of its parts, each map that for the winning class or the group
    that holds it, in units of the logits. It is left out where fewer than two maps count.

    Modes, weights, hooks and the global random state are left as they were.

    Args:
        model: the model, on the device of the images.
        images: preprocessed images [N, *input_shape], N ≥ 2.
        exponents: η_0 and η_b of the joint prediction; the model's own if None.
        baseline: what stands in for a pixel that is removed: `blur` or `mean`, see `make_baselines`.
        steps: S ≥ 2, number of steps of a curve.
        pairs: for each image that many random maps, and their negatives.
        weight_draws: how many times to draw random weights; 0 for no such check.
        precision: of the forward passes over mixtures: `bf16` for autocast, which is faster on some machines.
        seed: of everything random, ≥ 0.

    Raises:
        InputError: an argument is not allowed, or the images do not fit the model.
        DataError: the network gives numbers that are not finite.
    """
    known = exponents or model.exponents
    _check(
        model,
        images,
        known,
        steps=(steps, 2),
        pairs=(pairs, 1),
        weight_draws=(weight_draws, 0),
        seed=(seed, 0),
    )
    check_baseline(baseline)
    subjects = _subjects(model)
    with evaluating(model):
        sources = find_sources(model)
        if not any(sources):
            return ExplanationChecks(len(images), baseline, steps, 2 * pairs, seed, (), subjects, ())
        reader = MapReader(model, sources)
        # A copy: gradients cannot be taken of tensors from inference mode.
        images = images.clone(memory_format=torch.channels_last)
        found = survey(reader, images, known, seed)
        size = (images.shape[2], images.shape[3])
        contestants = find_contestants(found, subjects, _methods(sources), known, size, seed)
        chunk = max(_LEAST_CHUNK, min(_CHUNK, _VALUES // images[0].numel()))
        occlusion = Occlusion.prepare(
            _scorer(model, known, found.targets.own, precision),
            images,
            make_baselines(images, baseline),
            steps,
            chunk,
        )
        maps = [None if part is None else part.own for part in found.parts]
        return ExplanationChecks(
            images=len(images),
            baseline=baseline,
            steps=steps,
            draws=2 * pairs,
            seed=seed,
            parts=hold_contests(occlusion, contestants, pairs, seed),
            without_map=tuple(
                subject for subject, part in zip(subjects, found.parts, strict=True) if part is None
            ),
            randomisation=randomise(reader, subjects, images, found.targets.own, maps, weight_draws, seed)
            if weight_draws
            else (),
        )
