"""What the published weights of timm's networks expect of an image."""

from __future__ import annotations

from typing import Literal, NamedTuple

import timm


class PublishedInput(NamedTuple):
    """How images were prepared for the published weights of a network.

    Attributes:
        mean: of each channel, of pixels in 0 … 1.
        std: the standard deviation, likewise.
        crop_share: side of the central part that they were tested on.
        interpolation: how images were resized.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_share: float
    interpolation: Literal["bilinear", "bicubic"]

    def normalisation(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of each channel; one takes the average, as timm sums the weights of three."""
        mean, std = (
            tuple(each) if len(each) == channels else (sum(each) / len(each),) * channels
            for each in (self.mean, self.std)
        )
        return mean, std


def published_input(name: str) -> PublishedInput | None:
    """What timm says of the weights of a network; None where it publishes none, or for a callable.

    Args:
        name: a name of timm's, with or without a tag of weights, or `package.module:callable`.

    >>> published_input("vit_small_patch16_224").interpolation
    'bicubic'
    """
    if ":" in name or not timm.is_model_pretrained(name):
        return None
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None:
        return None
    interpolation = "bicubic" if cfg.interpolation == "bicubic" else "bilinear"
    return PublishedInput(tuple(cfg.mean), tuple(cfg.std), cfg.crop_pct, interpolation)
