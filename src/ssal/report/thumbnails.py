"""Images of the data set and maps over them, small enough for a page that holds them all."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssal.report.budget import Budget, data_uri

# Up to this side an image is kept pixel by pixel, and the browser enlarges it.
_SMALL = 64


@dataclass(frozen=True)
class Thumbnail:
    """A picture in the page.

    Attributes:
        uri: address that holds it.
        width: in its own pixels.
        height: in its own pixels.
        pixelated: whether the browser must not smooth it.
    """

    uri: str
    width: int
    height: int
    pixelated: bool


def thumbnail(pixels: NDArray[np.uint8], side: int, budget: Budget) -> Thumbnail | None:
    """An image as a picture; None if the budget is spent.

    Args:
        pixels: uint8 [H, W, 1] or [H, W, 3].
        side: largest side of what is kept; small images are kept as they are.
        budget: what is left for pictures.
    """
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    small = max(image.size) <= _SMALL
    if not small:
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    return _kept(image, small, budget)


def picture(pixels: NDArray[np.uint8], side: int, budget: Budget) -> Thumbnail | None:
    """A picture that may lose detail, such as a map over an image; None if the budget is spent."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    return _kept(image, False, budget)


def _kept(image: Image.Image, exact: bool, budget: Budget) -> Thumbnail | None:
    encoded = [_webp(image.convert("RGB"), lossless=False)]
    if exact:
        # Drawings of few colours are smaller without loss; photographs are not.
        encoded.append(_webp(image, lossless=True))
    uri = budget.take(data_uri(min(encoded, key=len), "webp"))
    return None if uri is None else Thumbnail(uri, image.width, image.height, exact)


def _webp(image: Image.Image, *, lossless: bool) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, quality=80, method=4)
    return buffer.getvalue()
