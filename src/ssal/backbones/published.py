"""What the published weights of timm's networks expect of an image."""

from __future__ import annotations

from typing import NamedTuple

import timm


class PublishedInput(NamedTuple):
    """How images were prepared for the published weights of a network.

    Attributes:
        mean: of each channel that is asked for, of pixels in 0 … 1.
        std: the standard deviation, likewise.
        crop_share: side of the central part that they were tested on.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_share: float


def published_input(name: str, channels: int) -> PublishedInput | None:
    """What timm says of the weights of a network; None where it publishes none, or for a callable.

    Args:
        name: a name of timm's, with or without a tag of weights, or `package.module:callable`.
        channels: 1 for grey, which takes the average over the channels as timm sums their weights, or 3.

    >>> published_input("vit_small_patch16_224", channels=1)
    PublishedInput(mean=(0.5,), std=(0.5,), crop_share=0.9)
    """
    if ":" in name or not timm.is_model_pretrained(name):
        return None
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None:
        return None
    mean, std = (
        tuple(each) if len(each) == channels else (sum(each) / len(each),) * channels
        for each in (cfg.mean, cfg.std)
    )
    return PublishedInput(mean, std, cfg.crop_pct)
