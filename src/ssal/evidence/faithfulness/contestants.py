"""The maps that are tested, at the size of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ssal.evidence.faithfulness.orders import flat, make_generator, random_maps, upsample
from ssal.evidence.faithfulness.results import Method, Subject
from ssal.evidence.faithfulness.survey import Survey
from ssal.joint import Exponents

_STAND_IN, _CONTROL = 1, 2
Size = tuple[int, int]


@dataclass(frozen=True)
class Contestant:
    """Maps that are tested.

    Attributes:
        subject: whose they are.
        column: where their score stands among `probabilities`.
        method: how they were made.
        grid: their height and width before they were enlarged.
        own: float64 [N, H, W], for what is explained.
        other: float64 [N, H, W], for another class or group.
        flat: how many of `own` are random ones, since the map is the same everywhere.
    """

    subject: Subject
    column: int
    method: Method
    grid: Size
    own: Tensor
    other: Tensor
    flat: int


def control_maps(count: int, grid: Size, size: Size, seed: int, draw: int) -> Tensor:
    """Random maps [N, H, W] to compete with, drawn on `grid` and enlarged to `size`."""
    return upsample(random_maps(count, grid, make_generator(seed, _CONTROL, *grid, draw)), size)


def _without_flat(maps: Tensor, grid: Size, size: Size, seed: int) -> tuple[Tensor, int]:
    """Enlarged maps; where one is flat, which is no order, a random one. And how many are."""
    maps = maps.cpu()
    silent = flat(maps)
    stand_in = upsample(random_maps(len(maps), grid, make_generator(seed, _STAND_IN, *grid)), size)
    return torch.where(silent[:, None, None], stand_in, upsample(maps, size)), int(silent.sum())


def _sum(maps: Sequence[Tensor], weights: Sequence[float], size: Size) -> Tensor:
    return torch.stack(
        [upsample(values.cpu(), size) * weight for values, weight in zip(maps, weights, strict=True)]
    ).sum(dim=0)


def _joint(found: Survey, exponents: Exponents, size: Size, seed: int) -> Contestant | None:
    """The joint log-probability before normalisation is Σ η·logit, so its map is Σ η·map (§3.4).

    Its random maps are those of the part whose map varies most, weighted by its exponent.
    """
    counting = [
        (maps, eta)
        for maps, eta in zip(found.parts, (exponents.main, *exponents.branches), strict=True)
        if maps is not None and eta > 0
    ]
    if len(counting) < 2:
        # The order of the one map that counts.
        return None
    parts, etas = [maps for maps, _ in counting], [eta for _, eta in counting]
    spread = [eta * float(maps.winner.flatten(1).std(dim=1).mean()) for maps, eta in counting]
    grid = parts[spread.index(max(spread))].grid
    own, silent = _without_flat(_sum([maps.winner for maps in parts], etas, size), grid, size, seed)
    other, _ = _without_flat(_sum([maps.rival for maps in parts], etas, size), grid, size, seed)
    return Contestant(Subject("joint", "joint"), len(found.parts), "sum", grid, own, other, silent)


def find_contestants(
    found: Survey,
    subjects: Sequence[Subject],
    methods: Sequence[Method],
    exponents: Exponents,
    size: Size,
    seed: int,
) -> list[Contestant]:
    """The maps to test: of each part that has them, and of all together where at least two count.

    Args:
        found: maps of the parts.
        subjects: the parts, in the same order.
        methods: how the map of each was made.
        exponents: η_0 and η_b.
        size: height and width of the images.
        seed: of the random maps that stand in for flat ones.
    """
    contestants: list[Contestant] = []
    for column, (subject, method, maps) in enumerate(zip(subjects, methods, found.parts, strict=True)):
        if maps is not None:
            own, silent = _without_flat(maps.own, maps.grid, size, seed)
            other, _ = _without_flat(maps.other, maps.grid, size, seed)
            contestants.append(Contestant(subject, column, method, maps.grid, own, other, silent))
    joint = _joint(found, exponents, size, seed)
    return contestants if joint is None else [*contestants, joint]
