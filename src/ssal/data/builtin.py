"""Data sets that come with the package or its dependencies."""

import numpy as np

from ssal.data.glyphs import load_glyphs
from ssal.data.imagesets import ArraySet
from ssal.data.sources import RawData, SourceOptions, register_source, split_off_test


@register_source("glyphs")
def glyphs(options: SourceOptions) -> RawData:
    """Return the embedded letters and digits of many fonts, 28×28 grey; the test fonts are other families."""
    del options
    data = load_glyphs()
    train, test = (
        ArraySet(images[..., None], labels, data.class_names)
        for images, labels in (data.part("train"), data.part("test"))
    )
    # A small shift: the rendering varies the place itself.
    return RawData(train, test, flip=False, shift=2)


@register_source("digits")
def digits(options: SourceOptions) -> RawData:
    """Return scikit-learn's 1,797 handwritten digits of 8×8 pixels, split by the seed of the options."""
    # Importing scikit-learn's data sets takes a second that the other sources need not wait for.
    from sklearn.datasets import load_digits

    flat, labels = load_digits(return_X_y=True)
    # Its brightness has the levels 0 … 16.
    levels = np.round(np.asarray(flat) * (255.0 / 16.0)).astype(np.uint8).reshape(-1, 8, 8, 1)
    names = [str(name) for name in range(10)]
    train, test = split_off_test(ArraySet(levels, labels, names), options)
    return RawData(train, test, flip=False)
