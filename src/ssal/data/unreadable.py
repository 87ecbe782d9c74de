"""Images that cannot be decoded: found before a training, so that all are listed at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ssal.data.blocks import each_index
from ssal.data.decode import open_image
from ssal.data.imagesets import ArraySet, ImageSet
from ssal.data.index import FileIndex
from ssal.errors import DataError


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be read.

    Attributes:
        index: Sample number in its set.
        name: Its path, or its table and row.
        message: What is wrong, in one sentence with the name.
    """

    index: int
    name: str
    message: str


def find_unreadable(
    images: ImageSet, *, workers: int | None = None, index: FileIndex | None = None
) -> list[Unreadable]:
    """Decode every image of a set once, and return those that fail, in order; pixels in memory cannot.

    JPEG data are read to their end, but at an eighth of the resolution, which is faster.

    Args:
        images: The set.
        workers: Number of threads; by default as many as cores.
        index: What is known of these files from before.
    """
    if isinstance(images, ArraySet):
        return []
    known = index or FileIndex()

    def check(number: int) -> Unreadable | None:
        encoded = images.encoded(number)
        # The name of a file is its path, which would be made twice.
        name = str(encoded) if isinstance(encoded, Path) else images.name(number)
        read = partial(open_image, encoded, images.channels, name=name, enough=lambda _: (1, 1))
        try:
            if isinstance(encoded, Path):
                known.once(encoded, read)
            else:
                read()
        except DataError as error:
            return Unreadable(number, name, str(error))
        return None

    return list(each_index(len(images), check, workers))


def without(images: ImageSet, faults: Sequence[Unreadable]) -> ImageSet:
    """Return the set without the samples that `find_unreadable` returned for it."""
    if not faults:
        return images
    kept = np.ones(len(images), dtype=bool)
    kept[[fault.index for fault in faults]] = False
    return images.select(np.flatnonzero(kept))


def unreadable_error(faults: Sequence[Unreadable], total: int) -> DataError:
    """Build the error that lists all images that cannot be read, one per line below the sentence."""
    head = f"{len(faults)} of {total} images cannot be read; skip_bad (--skip-bad) leaves them out:"
    return DataError("\n  ".join([head, *(fault.message for fault in faults)]))
