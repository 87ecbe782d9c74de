"""Anything that holds an image → an upright 8-bit image, grey or RGB; or a `DataError` that names it."""

import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ssal.data.pixels import GREY_MODES, Channels, array_to_image, image_to_channels
from ssal.errors import DataError

ImageInput = bytes | str | Path | Image.Image | NDArray[Any] | torch.Tensor

# Formats whose decoders are in daily use; none of Pillow's other forty is ever tried.
FORMATS: Final = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
IMAGE_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
# Where Pillow begins to warn of a decompression bomb. Checked here, since a warning cannot be made an error
# in one thread alone.
MAX_PIXELS: Final = 89_478_485
# What JPEG allows. Pillow keeps a pointer per row: an image of one column would take ten times its pixels.
MAX_SIDE: Final = 65_535

_ORIENTATION: Final = 0x0112
_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Size = tuple[int, int]


class Decoded(NamedTuple):
    """An upright image, and the (width, height) that it has at full resolution."""

    image: Image.Image
    full_size: Size


class Header(NamedTuple):
    """What the header of an image file tells: upright width and height, and whether it is stored as grey."""

    width: int
    height: int
    grey: bool


def decode_image(source: ImageInput, channels: Channels, *, name: str | None = None) -> NDArray[np.uint8]:
    """Return the pixels of an image as uint8 [H, W, channels].

    The EXIF orientation is applied, of an animation the first frame is taken, and all modes are brought to
    8 bits as `ssal.data.pixels` says.

    Args:
        source: Encoded bytes, a path, a Pillow image, an array [H, W] or [H, W, C], or a tensor [H, W] or
            [C, H, W].
        channels: 1 for grey, 3 for RGB.
        name: What to call the image in an error; by default its path or kind.

    Raises:
        DataError: The image cannot be read; the message names it.

    >>> decode_image(np.zeros((2, 3)), 3).shape
    (2, 3, 3)
    """
    pixels = np.array(open_image(source, channels, name=name).image)
    return pixels.reshape(*pixels.shape[:2], channels)


def open_image(
    source: ImageInput,
    channels: Channels,
    *,
    name: str | None = None,
    enough: Callable[[Size], Size] | None = None,
) -> Decoded:
    """Return an image as a Pillow image of mode L or RGB.

    Args:
        source: As in `decode_image`.
        channels: 1 for grey, 3 for RGB.
        name: As in `decode_image`.
        enough: For JPEG data: tells for a full (width, height) what size would do. The decoder then halves
            the resolution as often as that still gives at least the named size.

    Raises:
        DataError: The image cannot be read.
    """
    with reading(name or _describe(source)):
        if isinstance(source, torch.Tensor):
            source = _tensor_to_array(source)
        if isinstance(source, np.ndarray):
            image = array_to_image(source)
        elif isinstance(source, Image.Image):
            return _finish(source, channels, None)
        else:
            with _open_encoded(source) as encoded:
                return _finish(encoded, channels, enough)
        return _finish(image, channels, None)


def read_header(source: bytes | Path, *, name: str) -> Header:
    """Return size and kind of an encoded image, without decoding it.

    Raises:
        DataError: The header cannot be read.
    """
    with reading(name), _open_encoded(source) as image:
        _check_size(image.size)
        # The others are turned while they are loaded, or are hardly ever.
        lazily_turned = image.format in ("JPEG", "MPO", "WEBP")
        width, height = _turned(image.size, _orientation(image) if lazily_turned else 1)
        return Header(width, height, image.mode in GREY_MODES)


@contextmanager
def reading(name: str) -> Generator[None]:
    """Turn whatever a decoder raises inside the `with` into a `DataError` that names the image."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name!r} cannot be read as an image: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has more than {MAX_PIXELS:,} pixels, the limit against decompression bombs"
    if isinstance(error, UnidentifiedImageError):
        return f"not in one of the formats {', '.join(FORMATS)}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _describe(source: object) -> str:
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, bytes):
        return "image data"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "")) or "Pillow image"
    if isinstance(source, torch.Tensor | np.ndarray):
        return "tensor" if isinstance(source, torch.Tensor) else "array"
    return type(source).__name__


def _open_encoded(source: object) -> Image.Image:
    if isinstance(source, bytes):
        image = Image.open(io.BytesIO(source), formats=FORMATS)
    elif not isinstance(source, str | PathLike):
        raise TypeError("it is no path, bytes, Pillow image, array or tensor")
    else:
        path = Path(source)
        # Opening a pipe or a device would wait for ever.
        if not path.is_file():
            raise ValueError("it is not a file" if path.exists() else "there is no such file")
        image = Image.open(path, formats=FORMATS)
    return image


def _finish(image: Image.Image, channels: Channels, enough: Callable[[Size], Size] | None) -> Decoded:
    _check_size(image.size)
    full_size: Size | None = None
    if enough is not None and image.format in ("JPEG", "MPO"):
        orientation = _orientation(image)
        full_size = _turned(image.size, orientation)
        image.draft(None, _turned(enough(full_size), orientation))
    image.load()
    # Asked only now: Pillow turns TIFF images while it loads them, and a PNG tells it behind its data.
    turn = _TRANSPOSE.get(_orientation(image))
    plain = image_to_channels(image, channels)
    upright = plain if turn is None else plain.transpose(turn)
    return Decoded(upright, full_size or upright.size)


def _check_size(size: Size) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError
    if width * height == 0:
        raise ValueError("it holds no pixel")
    if max(size) > MAX_SIDE:
        raise ValueError(f"a side has more than {MAX_SIDE:,} pixels")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        # The pixels may be sound where the remarks about them are not.
        return 1
    return value if isinstance(value, int) else 1


def _turned(size: Size, orientation: int) -> Size:
    return (size[1], size[0]) if orientation in (5, 6, 7, 8) else size


def _tensor_to_array(tensor: torch.Tensor) -> NDArray[Any]:
    plain = tensor.detach().cpu()
    if plain.ndim == 3:
        if plain.shape[0] not in (1, 2, 3, 4):
            raise ValueError(
                f"a tensor must be [H, W] or [C, H, W] with C from 1 to 4; got {list(plain.shape)}"
            )
        plain = plain.permute(1, 2, 0)
    # numpy has no bfloat16.
    return plain.float().numpy() if plain.is_floating_point() else plain.numpy()
