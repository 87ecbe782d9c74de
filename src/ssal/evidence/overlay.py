"""A map laid over the image it belongs to."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 256
_COLORMAP = "inferno"


def enlarge(pixels: NDArray[np.uint8]) -> Image.Image:
    """An image as RGB, at least 256 pixels along its longer side.

    It grows by a whole factor, so that each of its pixels becomes a square.

    >>> enlarge(np.zeros((28, 14, 1), np.uint8)).size
    (140, 280)

    Args:
        pixels: uint8 [H, W, 1] or [H, W, 3].
    """
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    factor = max(1, math.ceil(_SIDE / max(image.size)))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a map over the grey version of an image, in a perceptually uniform colour map.

    The higher the value, the more the colour covers: where there is no evidence the image stays readable.

    Args:
        pixels: uint8 [H, W, 1] or [H, W, 3].
        heat: [H, W], 0 to 1.

    Returns:
        uint8 [H', W', 3], at least 256 pixels along the longer side.
    """
    from matplotlib import colormaps

    image = enlarge(pixels)
    grey = np.asarray(image.convert("L"), dtype=np.float32)[:, :, None] / 255
    smooth = np.asarray(Image.fromarray(heat).resize(image.size, Image.Resampling.BILINEAR))
    colours = colormaps[_COLORMAP](smooth)[:, :, :3]
    cover = 0.2 + 0.65 * smooth[:, :, None]
    return np.round(255 * ((1 - cover) * 0.8 * grey + cover * colours)).astype(np.uint8)


def draw_overlay(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> bytes:
    """The picture of `overlay` as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(overlay(pixels, heat)).save(buffer, "PNG")
    return buffer.getvalue()
