"""The two forms of a labelled image set: pixels in memory, or encoded images that are decoded on demand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssal.data.decode import decode_image
from ssal.data.items import EncodedItems
from ssal.data.pixels import Channels, check_channels
from ssal.errors import DataError


class ArraySet:
    """Images of one size in memory; a selection shares the pixels with the set that it was made from.

    Args:
        pixels: uint8 [M, H, W, C], C is 1 or 3.
        targets: Class ids [N], 0 ≤ id < number of classes.
        class_names: One name per class id.
        rows: For each of the N samples its row in `pixels`; by default all M in order.

    Raises:
        DataError: Shapes or types do not fit each other, or a label is out of range.
        InputError: The number of channels is neither 1 nor 3.

    >>> images = ArraySet(np.zeros((3, 2, 2, 1), np.uint8), [0, 1, 1], ["cat", "dog"])
    >>> len(images.select([1, 2])), images.select([1, 2]).targets.tolist()
    (2, [1, 1])
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        targets: ArrayLike,
        class_names: Sequence[str],
        rows: ArrayLike | None = None,
    ) -> None:
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            given = f"{pixels.dtype} {list(pixels.shape)}"
            raise DataError(f"images in memory must be uint8 [N, H, W, C]; got {given}")
        self.channels: Channels = check_channels(pixels.shape[3])
        # torch shares no memory with arrays that are read-only or strided.
        self.pixels: NDArray[np.uint8] = np.require(pixels, requirements=["C", "W"])
        self.rows: NDArray[np.int64] = _rows(rows, len(pixels))
        self.class_names: tuple[str, ...] = tuple(class_names)
        self.targets: NDArray[np.int64] = _labels(self, targets)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the pixels of one sample, uint8 [H, W, C]."""
        return self.pixels[self.rows[index]]

    def name(self, index: int) -> str:
        """Return what to call a sample in a message."""
        return f"image {self.rows[index]}"

    def select(self, indices: ArrayLike) -> "ArraySet":
        """Return the samples at `indices`, in that order, as a set of the same classes."""
        chosen = np.asarray(indices, dtype=np.int64)
        return ArraySet(self.pixels, self.targets[chosen], self.class_names, self.rows[chosen])

    def with_labels(self, targets: ArrayLike, class_names: Sequence[str]) -> "ArraySet":
        """Return the same images with other labels and class names."""
        return ArraySet(self.pixels, targets, class_names, self.rows)


class FileSet:
    """Encoded images of any size, decoded each time that one is asked for.

    Args:
        items: The encoded images.
        targets: Class ids [N], 0 ≤ id < number of classes.
        class_names: One name per class id.
        channels: What to decode to: 1 for grey, 3 for RGB.
        rows: For each of the N samples its number in `items`; by default all in order.

    Raises:
        DataError: The numbers of images and labels differ, or a label is out of range.
    """

    def __init__(
        self,
        items: EncodedItems,
        targets: ArrayLike,
        class_names: Sequence[str],
        channels: Channels = 3,
        rows: ArrayLike | None = None,
    ) -> None:
        self.items = items
        self.channels: Channels = channels
        self.rows: NDArray[np.int64] = _rows(rows, len(items))
        self.class_names: tuple[str, ...] = tuple(class_names)
        self.targets: NDArray[np.int64] = _labels(self, targets)

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Decode one sample to uint8 [H, W, C].

        Raises:
            DataError: It cannot be read; the message names it.
        """
        return decode_image(self.encoded(index), self.channels, name=self.name(index))

    def encoded(self, index: int) -> bytes | Path:
        """Return the encoded bytes of one sample, or the path of its file."""
        return self.items.read(int(self.rows[index]))

    def name(self, index: int) -> str:
        """Return what to call a sample in a message: its path, or its table and row."""
        return self.items.name(int(self.rows[index]))

    def select(self, indices: ArrayLike) -> "FileSet":
        """Return the samples at `indices`, in that order, as a set of the same classes."""
        chosen = np.asarray(indices, dtype=np.int64)
        return FileSet(self.items, self.targets[chosen], self.class_names, self.channels, self.rows[chosen])

    def with_labels(self, targets: ArrayLike, class_names: Sequence[str]) -> "FileSet":
        """Return the same images with other labels and class names."""
        return FileSet(self.items, targets, class_names, self.channels, self.rows)

    def with_channels(self, channels: Channels) -> "FileSet":
        """Return the same images, decoded to another number of channels."""
        return FileSet(self.items, self.targets, self.class_names, channels, self.rows)


ImageSet = ArraySet | FileSet


def _rows(rows: ArrayLike | None, count: int) -> NDArray[np.int64]:
    return np.arange(count, dtype=np.int64) if rows is None else np.asarray(rows, dtype=np.int64)


def _labels(images: ImageSet, targets: ArrayLike) -> NDArray[np.int64]:
    given = np.asarray(targets)
    if given.size and given.dtype.kind not in "iu":
        raise DataError(f"labels must be integers; got {given.dtype}")
    labels = given.astype(np.int64)
    if labels.shape != (len(images),):
        raise DataError(
            f"{len(images)} images need as many labels; got an array of shape {list(labels.shape)}"
        )
    count = len(images.class_names)
    wrong = np.flatnonzero((labels < 0) | (labels >= count))
    if len(wrong):
        raise DataError(
            f"label {labels[wrong[0]]} of {images.name(int(wrong[0]))!r} is none of the {count} classes"
            f" 0 … {count - 1} ({len(wrong)} such labels in all)"
        )
    return labels
