"""What stands in the place of a pixel that is taken away."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from ssal.errors import unknown_name

# Deviation of the Gaussian, relative to the side of the image.
_BLUR = 1 / 8


def _blurred(images: Tensor) -> Tensor:
    values = images.cpu().numpy()
    for axis in (2, 3):
        values = gaussian_filter1d(values, _BLUR * images.shape[axis], axis=axis, truncate=3.0)
    return torch.from_numpy(values).to(images.device)


BASELINES: dict[str, Callable[[Tensor], Tensor]] = {"blur": _blurred, "mean": torch.zeros_like}


def check_baseline(kind: str) -> None:
    """Check that there is such a baseline.

    Raises:
        InputError: there is not.
    """
    if kind not in BASELINES:
        raise unknown_name("baseline", kind, list(BASELINES))


def make_baselines(images: Tensor, kind: str) -> Tensor:
    """Images without content.

    Args:
        images: preprocessed images [N, C, H, W].
        kind: `blur`: the image itself behind a Gaussian of an eighth of its sides, so that its light and
            colours stay; `mean`: the grey or colour that preprocessing subtracts, so that nothing stays.

    Returns:
        [N, C, H, W].

    Raises:
        InputError: the kind is unknown.

    >>> make_baselines(torch.ones(1, 1, 8, 8), "mean").abs().max().item()
    0.0
    """
    check_baseline(kind)
    return BASELINES[kind](images)
