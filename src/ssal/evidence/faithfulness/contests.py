"""Deletion and insertion by maps, against random maps, the centre, and the maps of something else."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ssal.evidence.faithfulness.contestants import Contestant, control_maps
from ssal.evidence.faithfulness.differences import mean_difference
from ssal.evidence.faithfulness.occlusion import Occlusion, area
from ssal.evidence.faithfulness.orders import (
    centre_map,
    make_generator,
    opposite,
    random_ties,
    rank_pixels,
)
from ssal.evidence.faithfulness.results import Areas, Curves, OtherTarget, PartCheck

_TIES = 3


class _Orders:
    """Ranks of pixels, all settling ties in the same way."""

    def __init__(self, occlusion: Occlusion, seed: int) -> None:
        count, _, height, width = occlusion.images.shape
        self.size = (height, width)
        self.count = count
        self.seed = seed
        self.device = occlusion.images.device
        self.ties = random_ties(count, height * width, make_generator(seed, _TIES))

    def __call__(self, maps: Tensor) -> Tensor:
        return rank_pixels(maps, self.ties).to(self.device)

    def random(self, grid: tuple[int, int], pairs: int) -> Iterable[Tensor]:
        """Orders of random maps, and their opposites."""
        for pair in range(pairs):
            ranks = self(control_maps(self.count, grid, self.size, self.seed, pair))
            yield ranks
            yield opposite(ranks)


def _areas(map_: Tensor, random: Tensor, centre: Tensor, sign: int, seed: int) -> Areas:
    """Summary of areas [N]; `sign` is 1 where a large one is good, else -1."""
    gain = sign * (map_ - random)
    return Areas(
        map=float(map_.mean()),
        random=float(random.mean()),
        centre=float(centre.mean()),
        over_random=mean_difference(gain.numpy(), seed),
        over_centre=mean_difference((sign * (map_ - centre)).numpy(), seed),
        per_image=tuple(map_.tolist()),
        gain=tuple(gain.tolist()),
    )


def _mean(curves: Tensor) -> tuple[float, ...]:
    return tuple(curves.mean(dim=0).tolist())


def hold_contests(
    occlusion: Occlusion, contestants: Iterable[Contestant], pairs: int, seed: int
) -> tuple[PartCheck, ...]:
    """Test maps by deletion and insertion.

    Random maps go in pairs of a map and its negative: whose deletion curve is, backwards, the insertion curve
    of the other, so that one pass serves both tests.

    Args:
        occlusion: the images; its scores have a column for each contestant.
        contestants: the maps.
        pairs: pairs of random maps for each image.
        seed: of everything random.
    """
    orders = _Orders(occlusion, seed)
    centre = orders(centre_map(orders.size).expand(orders.count, -1, -1))
    centre_deletion, centre_insertion = occlusion.delete(centre).cpu(), occlusion.insert(centre).cpu()
    known: dict[tuple[int, int], Tensor] = {}
    checks: list[PartCheck] = []
    for contestant in contestants:
        column = contestant.column
        if contestant.grid not in known:
            drawn = [occlusion.delete(ranks).cpu() for ranks in orders.random(contestant.grid, pairs)]
            known[contestant.grid] = torch.stack(drawn).mean(dim=0)
        random = known[contestant.grid][:, :, column]
        own = orders(contestant.own)
        deletion = occlusion.delete(own)[:, :, column].cpu()
        insertion = occlusion.insert(own)[:, :, column].cpu()
        other = occlusion.delete(orders(contestant.other))[:, :, column].cpu()
        from_centre, to_centre = centre_deletion[:, :, column], centre_insertion[:, :, column]
        checks.append(
            PartCheck(
                subject=contestant.subject,
                method=contestant.method,
                grid=contestant.grid,
                flat=contestant.flat,
                score=float(occlusion.whole[:, column].mean()),
                score_empty=float(occlusion.empty[:, column].mean()),
                stakes=tuple((occlusion.whole - occlusion.empty)[:, column].tolist()),
                deletion=_areas(area(deletion), area(random), area(from_centre), -1, seed),
                insertion=_areas(area(insertion), area(random), area(to_centre), 1, seed),
                other=OtherTarget(
                    map=float(area(deletion).mean()),
                    other=float(area(other).mean()),
                    difference=mean_difference((area(other) - area(deletion)).numpy(), seed),
                ),
                curves=Curves(
                    fractions=tuple(step / occlusion.steps for step in range(occlusion.steps + 1)),
                    deletion=_mean(deletion),
                    deletion_random=_mean(random),
                    deletion_centre=_mean(from_centre),
                    deletion_other=_mean(other),
                    insertion=_mean(insertion),
                    insertion_random=_mean(random.flip(1)),
                    insertion_centre=_mean(to_centre),
                ),
            )
        )
    return tuple(checks)
