"""How alike two maps of an image are."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from ssal.evidence.faithfulness.orders import flat, upsample

# The window of the similarity is 11 pixels wide, and needs room to move.
_LEAST_SIDE = 32


def rank_correlation(first: Tensor, second: Tensor) -> NDArray[np.float64]:
    """Spearman's correlation over the places of each pair of maps.

    Args:
        first: [N, h, w].
        second: [N, h, w].

    Returns:
        float64 [N], -1 to 1; 0 where one of the maps is flat, since it says nothing of the other.
    """
    silent = (flat(first) | flat(second)).cpu().numpy()
    ranks = [rankdata(maps.flatten(1).cpu().numpy(), axis=1) for maps in (first, second)]
    one, two = (values - values.mean(axis=1, keepdims=True) for values in ranks)
    scale = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    return np.where(silent, 0.0, (one * two).sum(axis=1) / np.where(scale > 0, scale, 1.0))


def _pictures(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """As a person sees them: enlarged, from 0 to 1, [N, 1, H, W]."""
    large = upsample(maps, size)
    low, high = large.amin(dim=(1, 2), keepdim=True), large.amax(dim=(1, 2), keepdim=True)
    pictures = (large - low) / torch.where(high > low, high - low, 1.0)
    return torch.where(flat(maps)[:, None, None], torch.zeros_like(pictures), pictures)[:, None].float()


def structural_similarity(first: Tensor, second: Tensor, size: tuple[int, int]) -> NDArray[np.float64]:
    """SSIM of each pair of maps as they are shown over an image (Wang et al., 2004).

    Args:
        first: [N, h, w].
        second: [N, h, w].
        size: height and width of the image; small ones are taken as 32 pixels.

    Returns:
        float64 [N], at most 1.
    """
    height, width = (max(side, _LEAST_SIDE) for side in size)
    one, two = (_pictures(maps, (height, width)) for maps in (first, second))
    values = structural_similarity_index_measure(one, two, data_range=1.0, reduction="none")
    return cast(Tensor, values).double().cpu().numpy()
