"""Class names: all splits get the ids of the training classes, and each class must be trainable."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssal.data.imagesets import ImageSet
from ssal.errors import DataError, nearest
from ssal.text import encodable


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """A coarser labelling that comes with a data set.

    Attributes:
        names: Name of each superclass.
        of_class: Superclass id of each class, int64 [C].
    """

    names: tuple[str, ...]
    of_class: NDArray[np.int64]


def with_encodable_names(images: ImageSet) -> ImageSet:
    """Return the set with class names that any file can hold; folders may have names that are no UTF-8."""
    names = tuple(map(encodable, images.class_names))
    return images if names == images.class_names else images.with_labels(images.targets, names)


def align_classes(images: ImageSet, class_names: Sequence[str]) -> ImageSet:
    """Return `images` with its labels renumbered to the ids that its class names have in `class_names`.

    Classes of `images` that no image has are left out without a word.

    Raises:
        DataError: An image is of a class that is not in `class_names`.
    """
    if images.class_names == tuple(class_names):
        return images
    ids = {name: number for number, name in enumerate(class_names)}
    used = np.unique(images.targets)
    unknown = [images.class_names[number] for number in used if images.class_names[number] not in ids]
    if unknown:
        near = nearest(unknown[0], class_names, limit=1)
        hint = f"; the nearest training class is {near[0]!r}" if near else ""
        more = f" ({len(unknown)} such classes in all)" if len(unknown) > 1 else ""
        raise DataError(f"the test data have a class {unknown[0]!r} that the training data lack{more}{hint}")
    renumbered = np.zeros(len(images.class_names), dtype=np.int64)
    renumbered[used] = [ids[images.class_names[number]] for number in used]
    return images.with_labels(renumbered[images.targets], class_names)


def check_trainable(images: ImageSet, at_least: int = 2) -> None:
    """Check that there are two classes or more and that each has enough images to hold one out.

    Args:
        images: The training set.
        at_least: Images needed per class.

    Raises:
        DataError: There are fewer than two classes, or a class has too few images; the message names it.
    """
    names = images.class_names
    if len(names) < 2:
        raise DataError(
            f"at least 2 classes are needed to train; found {len(names)}: {', '.join(names) or 'none'}"
        )
    doubled = (
        sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    )
    if doubled:
        raise DataError(f"two classes have the same name {doubled[0]!r}")
    counts = np.bincount(images.targets, minlength=len(names))
    few = np.flatnonzero(counts < at_least)
    if len(few) == 0:
        return
    worst = few[np.argmin(counts[few])]
    number = (
        ("no image", "a single image")[counts[worst]] if counts[worst] < 2 else f"only {counts[worst]} images"
    )
    more = f" ({len(few)} such classes in all)" if len(few) > 1 else ""
    raise DataError(f"class {names[worst]!r} has {number}{more}; at least {at_least} per class are needed")
