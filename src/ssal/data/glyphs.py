"""The embedded data set `glyphs`: letters and digits of many fonts, split by font family.

A family that is in the test part gave no image to the training part, nor did any family that looks like it.
`GLYPHS-FONTS.md` beside this file names every font and its licence; `tools/build_glyphs.py` makes the data.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ssal.errors import unknown_name

PARTS = ("train", "test")


@dataclass(frozen=True)
class GlyphArrays:
    """The images of `glyphs` with their classes and font families; the arrays are read-only.

    Attributes:
        images: uint8 [N, 28, 28], white on black, 16 levels of grey (multiples of 17).
        labels: int64 [N], index into `class_names`.
        family_ids: int64 [N], index into `family_names`.
        is_test: bool [N], true for the images of test families.
        class_names: the 62 characters: digits, capitals, lower case.
        family_names: the names of the font families, in alphabetical order.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    family_ids: NDArray[np.int64]
    is_test: NDArray[np.bool_]
    class_names: tuple[str, ...]
    family_names: tuple[str, ...]

    def part(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return a copy of the images [n, 28, 28] and labels [n] of one part, `train` or `test`.

        Raises:
            InputError: there is no part of that name.

        >>> images, labels = load_glyphs().part("test")
        >>> images.shape[1:], len(images) == len(labels)
        ((28, 28), True)
        """
        if name not in PARTS:
            raise unknown_name("part of glyphs", name, PARTS)
        chosen = self.is_test if name == "test" else ~self.is_test
        return self.images[chosen], self.labels[chosen]


@cache
def load_glyphs() -> GlyphArrays:
    """Return the data set; the file is read once per process.

    >>> data = load_glyphs()
    >>> data.class_names[10:13], data.images.dtype
    (('A', 'B', 'C'), dtype('uint8'))
    """
    source = files("ssal.data").joinpath("glyphs.npz")
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        images: NDArray[np.uint8] = arrays["images"]
        labels: NDArray[np.int64] = arrays["labels"].astype(np.int64)
        family_ids: NDArray[np.int64] = arrays["family_ids"].astype(np.int64)
        family_is_test: NDArray[np.bool_] = arrays["family_is_test"]
        class_names = tuple(str(name) for name in arrays["class_names"])
        family_names = tuple(str(name) for name in arrays["family_names"])
    is_test = family_is_test[family_ids]
    for array in (images, labels, family_ids, is_test):
        array.setflags(write=False)  # the cache hands the same arrays to everybody
    return GlyphArrays(images, labels, family_ids, is_test, class_names, family_names)
