"""Encoded images → pixels in memory, and what is known only then: mean and deviation."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssal.data.blocks import each_index
from ssal.data.imagesets import ArraySet, FileSet
from ssal.data.pixels import Channels, image_to_channels
from ssal.data.preprocess import Interpolation, Preprocess, centre_box, crop_resize, image_pixels
from ssal.data.unreadable import Unreadable
from ssal.errors import DataError

_CHUNK = 1024


def load_pixels(
    files: FileSet, preprocess: Preprocess, *, workers: int | None = None
) -> tuple[ArraySet, list[Unreadable]]:
    """Decode all images of a set, as evaluation would, and keep those that can be read.

    Args:
        files: The set.
        preprocess: Gives channels, size and crop.
        workers: Number of threads; by default as many as cores.

    Returns:
        The images that can be read, in order, and the others.
    """
    shape = (len(files), *preprocess.image_size, preprocess.channels)
    pixels = np.empty(shape, dtype=np.uint8)

    def load(index: int) -> Unreadable | None:
        name = files.name(index)
        try:
            pixels[index] = preprocess.pixels(files.encoded(index), name=name)
        except DataError as error:
            return Unreadable(index, name, str(error))
        return None

    faults = list(each_index(len(files), load, workers))
    kept = np.ones(len(files), dtype=bool)
    kept[[fault.index for fault in faults]] = False
    rows = np.flatnonzero(kept)
    return ArraySet(pixels, files.targets[rows], files.class_names, rows), faults


def fitted(
    images: ArraySet, channels: Channels, image_size: tuple[int, int], interpolation: Interpolation
) -> ArraySet:
    """Return the set with its images brought to another size or number of channels, where they differ."""
    if images.channels == channels and images.image_size == image_size:
        return images
    pixels = np.empty((len(images), *image_size, channels), dtype=np.uint8)
    for index in range(len(images)):
        image = images.image(index)
        plain = Image.fromarray(image[:, :, 0] if images.channels == 1 else image)
        box = centre_box(plain.size, image_size, 1.0)
        recoded = image_to_channels(plain, channels)
        pixels[index] = image_pixels(crop_resize(recoded, box, image_size, interpolation))
    return ArraySet(pixels, images.targets, images.class_names)


def pixel_statistics(images: ArraySet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, of pixels in 0 … 1.

    Of images that are all alike the deviation is taken as one level, so that it can divide.

    >>> pixel_statistics(ArraySet(np.full((1, 2, 2, 1), 51, np.uint8), [0], ["blank"]))
    ((0.2,), (0.00392156862745098,))
    """
    counts = np.zeros((images.channels, 256), dtype=np.int64)
    for start in range(0, len(images), _CHUNK):
        part = images.pixels[images.rows[start : start + _CHUNK]]
        for channel in range(images.channels):
            counts[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    return _moments(counts)


def _moments(counts: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute mean and deviation from how often each level occurs, int64 [C, 256]."""
    levels = np.arange(256) / 255.0
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    variance = (counts * (levels - mean[:, None]) ** 2).sum(axis=1) / total
    std = np.maximum(np.sqrt(variance), 1.0 / 255.0)
    return tuple(mean.tolist()), tuple(std.tolist())
