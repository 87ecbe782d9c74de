"""Encoded images that are not in memory as pixels: files of a folder, or the bytes of a table's column.

Both keep their entries in one Arrow array, not in a million Python objects: forked workers then share the
memory, and pickling for spawned ones is fast.
"""

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa


class EncodedItems(Protocol):
    """A numbered collection of encoded images."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def read(self, index: int) -> bytes | Path:
        """Return the encoded bytes of image `index`, or the path of its file."""
        ...

    def name(self, index: int) -> str:
        """Return what to call image `index` in a message."""
        ...


@dataclass(frozen=True, eq=False)
class FileItems:
    """Image files below one folder.

    Attributes:
        root: The folder.
        relative: Paths below it, as the file system encodes them.
    """

    root: Path
    relative: pa.LargeBinaryArray

    @classmethod
    def from_paths(cls, root: Path, relative: Sequence[str]) -> "FileItems":
        """Collect files given by their paths below `root`."""
        return cls(root, pa.array([os.fsencode(path) for path in relative], type=pa.large_binary()))

    def __len__(self) -> int:
        return len(self.relative)

    def read(self, index: int) -> Path:
        """Return the path of image `index`."""
        return self.root / os.fsdecode(self.relative[index].as_py())

    def name(self, index: int) -> str:
        """Return the path of image `index` as text."""
        return str(self.read(index))


@dataclass(frozen=True, eq=False)
class TableItems:
    """Encoded images in a column of one or more table files.

    Attributes:
        encoded: The bytes of all images, file after file.
        files: Names of the table files.
        starts: Number of the first row of each file in `encoded`.
    """

    encoded: pa.LargeBinaryArray
    files: tuple[str, ...]
    starts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.encoded)

    def read(self, index: int) -> bytes:
        """Return the encoded bytes of image `index`."""
        return self.encoded[index].as_py()

    def name(self, index: int) -> str:
        """Return the table file and the row in it, from 0."""
        file = bisect_right(self.starts, index) - 1
        return f"{self.files[file]} row {index - self.starts[file]}"
