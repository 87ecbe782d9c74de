"""From maps to the order in which pixels are taken away, and the orders that maps must beat."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_FLAT = 1e-6


def make_generator(*numbers: int) -> torch.Generator:
    """A stream of random numbers of its own for each tuple of whole numbers ≥ 0."""
    [seed] = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(seed) >> 1)


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps [N, h, w] to the size of the input by bilinear interpolation, [N, H, W]."""
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def flat(maps: Tensor) -> Tensor:
    """Which of the maps [N, h, w] are the same everywhere, up to rounding: bool [N]."""
    values = maps.flatten(1)
    return values.amax(dim=1) - values.amin(dim=1) <= _FLAT * values.abs().amax(dim=1)


def random_maps(count: int, grid: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Maps of independent normal values, float64 [N, h, w].

    On the grid of the map that they are compared with, and enlarged in the same way, they are as smooth as it
    can be: single pixels at random would be a weaker opponent.
    """
    return torch.randn((count, *grid), generator=generator, dtype=torch.float64)


def centre_map(size: tuple[int, int]) -> Tensor:
    """A Gaussian in the centre of the image, of the image's own proportions, float64 [H, W].

    What is photographed often stands in the centre: a map that knows no more than this must be found out.
    """
    rows, columns = (torch.linspace(-1, 1, side + 2, dtype=torch.float64)[1:-1] for side in size)
    return torch.exp(-2 * (rows[:, None] ** 2 + columns[None] ** 2))


def random_ties(count: int, pixels: int, generator: torch.Generator) -> Tensor:
    """A random order of the pixels for each image, int64 [N, P], to settle equal values by."""
    return torch.rand((count, pixels), generator=generator, dtype=torch.float64).argsort(dim=1)


def rank_pixels(values: Tensor, ties: Tensor) -> Tensor:
    """Place of each pixel when the greatest value comes first.

    Without the ties, places of the same value would go from top left to bottom right.

    >>> rank_pixels(torch.tensor([[0.0, 3.0, 1.0]]), torch.tensor([[0, 1, 2]])).tolist()
    [[2, 0, 1]]

    Args:
        values: [N, P] or [N, H, W].
        ties: a permutation of the pixels for each image, int64 [N, P].

    Returns:
        int64 [N, P].
    """
    flattened = values.flatten(1)
    order = flattened.gather(1, ties).argsort(dim=1, descending=True, stable=True)
    order = ties.gather(1, order)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def opposite(ranks: Tensor) -> Tensor:
    """The same orders [N, P] backwards."""
    return ranks.shape[1] - 1 - ranks
