"""A grouping: the map γ from classes to groups, immutable, and kept in files that people can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from ssal.confusion import normalise_rows
from ssal.confusion.matrix import class_count
from ssal.errors import DataError, InputError
from ssal.grouping import files
from ssal.grouping.objective import inside


@dataclass(frozen=True, eq=False, repr=False)
class Grouping:
    """The map γ: classes → groups (§3.1).

    Two groupings are equal if their labels and class names are. It can be hashed, pickled and copied.

    Attributes:
        labels: [C] int64, the group of each class; read-only. Ids are 0 to k - 1, each in use.
        class_names: names of the C classes, if known.

    Raises:
        InputError: the labels are no such map, or the number of names is not C.

    >>> grouping = Grouping.from_labels([0, 1, 0, 1, 1], class_names=["cat", "car", "dog", "bus", "van"])
    >>> grouping
    Grouping(5 classes in 2 groups of 2 to 3)
    >>> [grouping.class_names[member] for member in grouping.members(0)]
    ['cat', 'dog']
    """

    labels: NDArray[np.int64]
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the fields and make them immutable."""
        labels = _check_labels(self.labels)
        labels.flags.writeable = False
        object.__setattr__(self, "labels", labels)
        if self.class_names is not None:
            object.__setattr__(self, "class_names", _check_names(self.class_names, labels.size))

    @classmethod
    def from_labels(cls, labels: object, class_names: Sequence[str] | None = None) -> Grouping:
        """Build a grouping, balanced or not, from the group of each class.

        Args:
            labels: [C] integers from 0 to k - 1, each id at least once.
            class_names: names of the C classes.

        Raises:
            InputError: the labels are no such map, or the number of names is not C.
        """
        fields: Any = (labels, class_names)
        return cls(*fields)

    @classmethod
    def identity(cls, num_classes: int, class_names: Sequence[str] | None = None) -> Grouping:
        """Each class its own group, k = C: a branch then predicts the original labels.

        >>> Grouping.identity(3).labels
        array([0, 1, 2])
        """
        return cls.from_labels(np.arange(_check_count("num_classes", num_classes)), class_names)

    @classmethod
    def random(
        cls, num_classes: int, num_groups: int, seed: int = 0, class_names: Sequence[str] | None = None
    ) -> Grouping:
        """Draw a grouping whose sizes differ by at most one, whatever the classes are: the control.

        Raises:
            InputError: there are not 1 to C groups, or the seed is negative.

        >>> Grouping.random(7, 3, seed=0).sizes
        array([3, 2, 2])
        """
        count = _check_count("num_classes", num_classes)
        if _check_count("num_groups", num_groups) > count:
            raise InputError(f"{num_groups} groups of {count} classes leave groups empty")
        if seed < 0:
            raise InputError(f"a seed must be 0 or more, not {seed}")
        shuffled = np.random.default_rng(seed).permutation(count)
        return cls.from_labels(shuffled % num_groups, class_names)

    @property
    def num_groups(self) -> int:
        """Number k of groups."""
        return int(self.labels.max()) + 1

    @property
    def is_identity(self) -> bool:
        """Whether each class is its own group, k = C."""
        return self.num_groups == len(self.labels)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of classes in each group, [k]."""
        return np.bincount(self.labels)

    def members(self, group: int) -> NDArray[np.int64]:
        """Class ids of one group, ascending.

        Raises:
            InputError: there is no such group.
        """
        if not 0 <= group < self.num_groups:
            raise InputError(f"there is no group {group}; the groups are 0 to {self.num_groups - 1}")
        return np.flatnonzero(self.labels == group)

    def share(self, confusion: object) -> float:
        """Compute the objective J(γ): the share of the confusion that lies inside groups.

        Args:
            confusion: [C, C] counts or probabilities, dense or sparse, rows = true class.

        Returns:
            J from 0 to 1; 0 where no class is ever confused.

        Raises:
            InputError: the matrix is for another number of classes.
            DataError: it is no confusion matrix.

        >>> Grouping.from_labels([0, 0, 1, 1]).share([[8, 2, 0, 0], [1, 8, 1, 0], [0, 0, 9, 1], [0, 1, 0, 9]])
        0.666...
        """
        # Σ S = Σ F, inside groups as well: the sum of a matrix and of its transpose are one.
        shares = normalise_rows(confusion)
        if class_count(shares) != self.labels.size:
            raise InputError(
                f"the grouping is for {self.labels.size} classes, "
                f"the confusion matrix for {class_count(shares)}"
            )
        total = float(shares.sum())
        # The two sums add up in another order, and may differ in the last digit.
        return min(1.0, inside(shares, self.labels) / total) if total else 0.0

    def save(self, path: str | Path) -> None:
        """Write the grouping as JSON, one line per group, in one atomic step.

        Raises:
            InputError: the path does not end in .json.
            OSError: the file cannot be written; it is then as it was.
        """
        files.write(
            Path(path), [self.members(group).tolist() for group in range(self.num_groups)], self.class_names
        )

    @classmethod
    def load(cls, path: str | Path) -> Grouping:
        """Read a grouping: .json as `save` writes it, or .txt with one group id per line (line = class id).

        Raises:
            DataError: the file is missing, damaged, of an unknown kind, or no grouping.
        """
        labels, names = files.read(Path(path))
        try:
            return cls.from_labels(labels, names)
        except InputError as error:
            raise DataError(f"{path}: {error}") from None

    def __eq__(self, other: object) -> bool:
        """Whether labels and class names are the same."""
        if not isinstance(other, Grouping):
            return NotImplemented
        return np.array_equal(self.labels, other.labels) and self.class_names == other.class_names

    def __hash__(self) -> int:
        """Hash of labels and class names."""
        return hash((self.labels.tobytes(), self.class_names))

    def __repr__(self) -> str:
        """Counts only: a grouping may be for many thousand classes."""
        low, high = int(self.sizes.min()), int(self.sizes.max())
        size = f"{low}" if low == high else f"{low} to {high}"
        return f"Grouping({self.labels.size} classes in {self.num_groups} groups of {size})"

    def __reduce__(self) -> tuple[type[Grouping], tuple[NDArray[np.int64], tuple[str, ...] | None]]:
        """Rebuild through the constructor: numpy forgets that an array is read-only when it is pickled."""
        return type(self), (self.labels, self.class_names)


def agreement(first: Grouping, second: Grouping) -> float:
    """Compare two groupings by the adjusted Rand index, whatever their groups are called.

    Returns:
        1 for the same groups, about 0 for unrelated ones, below 0 for less than chance.

    Raises:
        InputError: they are for different numbers of classes.

    >>> agreement(Grouping.from_labels([0, 0, 1, 1]), Grouping.from_labels([1, 1, 0, 0]))
    1.0
    """
    if first.labels.size != second.labels.size:
        raise InputError(
            f"groupings of {first.labels.size} and of {second.labels.size} classes do not compare"
        )
    return float(adjusted_rand_score(first.labels, second.labels))


def _check_count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name} must be an integer of at least 1, not {value!r}")
    return int(value)


def _check_labels(given: object) -> NDArray[np.int64]:
    labels = np.array(given)
    if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in "iu":
        raise InputError("the labels of a grouping must be a vector of integers, one group id per class")
    wrong = np.flatnonzero((labels < 0) | (labels >= labels.size))
    if wrong.size:
        raise InputError(
            f"class {wrong[0]} is in group {labels[wrong[0]]}; "
            f"group ids of {labels.size} classes are 0 to at most {labels.size - 1}"
        )
    empty = np.flatnonzero(np.bincount(labels) == 0)
    if empty.size:
        raise InputError(f"group {empty[0]} has no class, though ids go up to {labels.max()}")
    return labels.astype(np.int64)


def _check_names(given: Sequence[object], num_classes: int) -> tuple[str, ...]:
    names = tuple(given)
    if isinstance(given, str) or not all(isinstance(name, str) for name in names):
        raise InputError("class_names must be a sequence of texts")
    if len(names) != num_classes:
        raise InputError(f"{len(names)} class names for {num_classes} classes")
    return tuple(str(name) for name in names)
