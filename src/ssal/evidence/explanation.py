"""From a model and images to evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssal.errors import DataError, InputError
from ssal.evidence.evidence import Evidence, Part
from ssal.evidence.finer import find_sources
from ssal.evidence.fused import part_logits, watching_fused
from ssal.evidence.maps import class_activation_map, gradient_map, reading, to_input_size
from ssal.evidence.shares import shares_of
from ssal.evidence.sources import MapSource
from ssal.evidence.terms import class_terms, winners_without
from ssal.joint import Exponents, Outputs
from ssal.model import SSALModel
from ssal.modes import evaluating


def explain(
    model: SSALModel,
    images: Tensor,
    exponents: Exponents | None = None,
    class_names: Sequence[str] | None = None,
    candidates: int = 5,
    sources: Sequence[MapSource | None] | None = None,
) -> list[Evidence]:
    """Take the joint predictions of images apart.

    Each image goes through the network by itself: in a batch the last digits of the logits depend on the
    company, and evidence must not. Modes, gradients, hooks and the random state are left as they were.

    >>> from torch import nn
    >>> from ssal.grouping import Grouping
    >>> from ssal.model import Branch
    >>> net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4))
    >>> branch = Branch("1", Grouping.from_labels([0, 0, 1, 1]), layout="dense 8")
    >>> [evidence] = explain(SSALModel(net, [branch], (6,)), torch.zeros(1, 6), class_names="abcd")
    >>> [part.name for part in evidence.parts], len(evidence.candidates)
    (['main classifier', '1'], 4)

    Args:
        model: the model, on the device of the images.
        images: preprocessed images [N, *input_shape].
        exponents: η_0 and η_b; the model's own if None.
        class_names: names of the C classes; their numbers if None.
        candidates: how many of the most probable classes to compare.
        sources: where the maps are read, from `find_sources`, which takes trial runs; found anew if None.

    Returns:
        One `Evidence` for each image.

    Raises:
        InputError: the shape of the images or the number of exponents or names does not fit the model, the
            model has one class only, or fewer than two candidates are wanted.
        DataError: the network gives numbers that are not finite.
    """
    if images.shape[1:] != model.input_shape:
        raise InputError(
            f"images must be [N, {', '.join(map(str, model.input_shape))}], not {[*images.shape]}"
        )
    if model.num_classes < 2 or candidates < 2:
        raise InputError(
            f"evidence compares classes: it needs two at least, not {min(model.num_classes, candidates)}"
        )
    names = tuple(map(str, range(model.num_classes)) if class_names is None else class_names)
    if len(names) != model.num_classes:
        raise InputError(f"{len(names)} class names for {model.num_classes} classes")
    with evaluating(model):
        if sources is None:
            sources = find_sources(model) if len(images) else ()
        parts = _Parts(model, tuple(sources), exponents or model.exponents)
        # Fresh memory: the strides of a view may steer the choice of the algorithm, hence the last digits.
        singles = (image.clone(memory_format=torch.contiguous_format)[None] for image in images)
        return [_explain(parts, image, names, candidates) for image in singles]


@dataclass(frozen=True)
class _Parts:
    """A model with where its maps are read and what its parts count; part 0 is the main classifier."""

    model: SSALModel
    sources: tuple[MapSource | None, ...]
    exponents: Exponents

    def logits(self, outputs: Outputs, part: int) -> Tensor:
        return (outputs.main, *outputs.groups)[part]

    def members(self, part: int, predicted: int) -> tuple[int, ...]:
        if part == 0:
            return (predicted,)
        return tuple(self.model.specs[part - 1].grouping.members(predicted).tolist())

    def map(
        self, part: int, image: Tensor, maps: dict[int, Tensor], target: int
    ) -> NDArray[np.float32] | None:
        source = self.sources[part]
        if source is None:
            return None
        if source.head is not None:
            values = class_activation_map(maps[part][0], source.head.weight[target])
        else:
            values = gradient_map(lambda x: part_logits(self.model, x, part), image, source, target)
        height, width = image.shape[2:]
        return to_input_size(values, (height, width))


def _explain(parts: _Parts, image: Tensor, class_names: tuple[str, ...], candidates: int) -> Evidence:
    model, exponents = parts.model, (parts.exponents.main, *parts.exponents.branches)
    with reading(parts.sources) as maps, watching_fused(model) as read:
        outputs = model(image)
    terms = class_terms(outputs, model.labels, parts.exponents)[0]
    totals = terms.sum(dim=0)
    if not bool(totals.isfinite().all()):
        raise DataError("the network gives no finite numbers for this image")
    log_prob = F.log_softmax(totals, dim=0)
    order = log_prob.sort(descending=True, stable=True).indices[:candidates]
    winner, without = int(order[0]), winners_without(terms)
    shares = {
        branch + 1: shares_of(model, branch, vector[0], exponents[branch + 1], order.tolist())
        for branch, vector in read.items()
    }
    found: list[Part] = []
    for number, source in enumerate(parts.sources):
        probabilities = parts.logits(outputs, number)[0].double().softmax(dim=0)
        predicted = int(probabilities.argmax())
        members = parts.members(number, predicted)
        heat = parts.map(number, image, maps, winner if number == 0 else predicted)
        part = Part(
            tap=None if number == 0 else model.specs[number - 1].tap,
            exponent=exponents[number],
            predicted=predicted,
            members=members,
            probability=float(probabilities[predicted]),
            agrees=winner in members,
            terms=tuple(terms[number, order].tolist()),
            without=without[number],
            map=heat,
            method=None if heat is None or source is None else source.method,
            label="" if number == 0 else model.branch_names[number - 1],
            tells_classes=len(probabilities) == model.num_classes,
            shares=shares.get(number, ()),
        )
        found.append(part)
    return Evidence(
        candidates=tuple(order.tolist()),
        log_probabilities=tuple(log_prob[order].tolist()),
        log_normaliser=float(torch.logsumexp(totals, dim=0)),
        parts=tuple(found),
        class_names=class_names,
    )
