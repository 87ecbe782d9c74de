"""Image modes and array types → 8-bit grey or RGB, the two forms that everything above works on.

The colours are taken as they are stored: transparency is dropped, not blended with a background, as by the
loaders of torchvision and timm. Deeper images are scaled, never clipped: of 16 bits the upper eight remain.
"""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssal.errors import InputError

Channels = Literal[1, 3]

# A palette or colour mode is RGB even where all its colours happen to be grey: the header does not tell.
GREY_MODES: Final = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_PART: Final = 1 << 20
_COLOUR_MODES: Final = frozenset({"RGB", "RGBX", "RGBA", "RGBa", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"})


def image_to_channels(image: Image.Image, channels: Channels) -> Image.Image:
    """Bring a Pillow image of any mode to mode L (1 channel) or RGB (3 channels).

    Grey from colour is the ITU-R 601 luma, Pillow's `convert("L")`.

    Raises:
        ValueError: The mode is unknown, or the values are not a brightness (see `array_to_levels`).
    """
    mode = "L" if channels == 1 else "RGB"
    if image.mode == mode:
        return image
    return _eight_bits(image).convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        deep = np.asarray(image)
        # Pillow keeps 16-bit greys in 32-bit integers where a format or an operation of it knows no better.
        return Image.fromarray(array_to_levels(_narrow(deep) if image.mode == "I" else deep))
    if image.mode in ("LA", "La"):
        return image.convert("LA").convert("L")
    if image.mode in GREY_MODES:
        return image.convert("L")
    if image.mode not in _COLOUR_MODES:
        raise ValueError(f"image mode {image.mode!r} is not supported")
    if image.mode in ("P", "PA", "RGBa"):
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def _narrow(deep: NDArray[Any]) -> NDArray[np.uint16]:
    low, high = int(deep.min()), int(deep.max())
    if low < 0 or high > 65535:
        raise ValueError(f"integer values of a deep image must lie in 0 … 65535; found {low} … {high}")
    return deep.astype(np.uint16)


def array_to_levels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn brightness values of any number type into the levels 0 … 255.

    | type | rule |
    |---|---|
    | uint8 | as it is |
    | bool | 0 and 255 |
    | uint16 | the upper eight bits |
    | float, all values in 0 … 1 | times 255, rounded |
    | float, all values in 0 … 255 | rounded |
    | other integers, all values in 0 … 255 | as they are |

    Raises:
        ValueError: The values are outside of these ranges, not finite, or no numbers.

    >>> array_to_levels(np.array([0, 256, 65535], dtype=np.uint16)).tolist()
    [0, 1, 255]
    >>> array_to_levels(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 128, 255]
    """
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return array
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind not in "uif":
        raise ValueError(f"pixels must be numbers; got an array of {array.dtype}")
    if kind == "u" and array.dtype.itemsize == 2:
        return (array >> 8).astype(np.uint8)
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("pixels must be finite; found NaN or infinity")
    if low < 0 or high > 255:
        ranges = "0 … 1 or 0 … 255" if kind == "f" else "0 … 255"
        raise ValueError(f"pixels of type {array.dtype} must lie in {ranges}; found {low:g} … {high:g}")
    if kind == "f":
        return _rounded(array, 255.0 if high <= 1.0 else 1.0)
    return array.astype(np.uint8)


def _rounded(array: NDArray[Any], scale: float) -> NDArray[np.uint8]:
    """Scale and round, part by part: copies of a large image in double precision would take gigabytes."""
    flat = array.reshape(-1)
    levels = np.empty(flat.shape, dtype=np.uint8)
    for start in range(0, len(flat), _PART):
        # Halves go up: numpy's own rounding would send them to even levels.
        levels[start : start + _PART] = np.floor(flat[start : start + _PART] * np.float64(scale) + 0.5)
    return levels.reshape(array.shape)


def array_to_image(array: NDArray[Any]) -> Image.Image:
    """Turn an array [H, W] or [H, W, C] into a Pillow image of mode L or RGB.

    C is 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha); alpha is dropped.

    Raises:
        ValueError: Another shape, no pixel at all, or values that are no brightness.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"an array must be [H, W] or [H, W, C] with C from 1 to 4; got {list(array.shape)}")
    if array.size == 0:
        raise ValueError(f"an array of shape {list(array.shape)} holds no pixel")
    colours = array[:, :, 0] if array.shape[2] <= 2 else array[:, :, :3]
    return Image.fromarray(np.ascontiguousarray(array_to_levels(colours)))


def check_channels(channels: int) -> Channels:
    """Return `channels` if it is 1 (grey) or 3 (RGB).

    Raises:
        InputError: It is another number.
    """
    if channels == 1:
        return 1
    if channels == 3:
        return 3
    raise InputError(f"images have 1 channel (grey) or 3 (RGB); got {channels}")
