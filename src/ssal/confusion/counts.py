"""From predictions and targets to a confusion matrix: counted, sparse, or averaged from probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ssal.confusion.arrays import DENSE_LIMIT, as_array, as_labels, check_num_classes
from ssal.errors import DataError, InputError

# bfloat16 keeps three digits; logits are further from a sum of one than this, or negative.
_SUM_TOLERANCE = 0.05
# Rows summed in one go: bounds the float64 copy of a large batch.
_ROWS = 8192


def _pairs(predictions: object, targets: object, num_classes: int) -> NDArray[np.int64]:
    """The key true · C + predicted of each sample, int64 [N]."""
    predicted = as_labels(predictions, "predictions", num_classes)
    true = as_labels(targets, "targets", num_classes)
    if predicted.size != true.size:
        raise DataError(f"{predicted.size} predictions, but {true.size} targets")
    return true * num_classes + predicted


def confusion_matrix(predictions: object, targets: object, num_classes: int) -> NDArray[np.int64]:
    """Count how often each class was predicted as each other.

    Args:
        predictions: [N] predicted class ids, array or tensor.
        targets: [N] true class ids.
        num_classes: C.

    Returns:
        Counts [C, C]; rows are the true classes, columns the predicted ones.

    Raises:
        DataError: the lengths differ, or an id is no integer from 0 to C - 1.
        InputError: there are too many classes for a dense matrix; `sparse_confusion` takes them.

    >>> confusion_matrix([0, 1, 1, 2], [0, 0, 1, 2], num_classes=3)
    array([[1, 1, 0],
           [0, 1, 0],
           [0, 0, 1]])
    """
    count = check_num_classes(num_classes)
    if count > DENSE_LIMIT:
        raise InputError(
            f"a dense confusion matrix is for up to {DENSE_LIMIT} classes, not {count}; use sparse_confusion"
        )
    return np.bincount(_pairs(predictions, targets, count), minlength=count * count).reshape(count, count)


def sparse_confusion(predictions: object, targets: object, num_classes: int) -> sparse.csr_array:
    """Count as `confusion_matrix` does, but store only the pairs that occur.

    Args:
        predictions: [N] predicted class ids, array or tensor.
        targets: [N] true class ids.
        num_classes: C; memory grows with N and C, not with C².

    Returns:
        Counts [C, C], int64, with sorted column indices.

    Raises:
        DataError: the lengths differ, or an id is no integer from 0 to C - 1.

    >>> sparse_confusion([0, 1, 1, 2], [0, 0, 1, 2], num_classes=100_000).sum()
    np.int64(4)
    """
    count = check_num_classes(num_classes)
    keys, occurrences = np.unique(_pairs(predictions, targets, count), return_counts=True)
    rows, columns = np.divmod(keys, count)
    starts = np.searchsorted(rows, np.arange(count + 1))
    return sparse.csr_array((occurrences.astype(np.int64), columns, starts), shape=(count, count))


class SoftConfusion:
    """Mean probability of each class over the samples of each true class, gathered batch by batch.

    >>> soft = SoftConfusion(2)
    >>> soft.update([[0.75, 0.25]], [0])
    >>> soft.update([[0.25, 0.75]], [0])
    >>> soft.matrix()
    array([[0.5, 0.5],
           [0. , 0. ]])
    """

    def __init__(self, num_classes: int) -> None:
        """Start with no sample of `num_classes` classes."""
        count = check_num_classes(num_classes)
        self.sums = np.zeros((count, count))
        self.counts = np.zeros(count, dtype=np.int64)

    def update(self, probabilities: object, targets: object) -> None:
        """Add a batch.

        Args:
            probabilities: [N, C] softmax outputs, array or tensor.
            targets: [N] true class ids.

        Raises:
            DataError: a shape does not fit, or a row is no distribution (logits, say).
        """
        classes = len(self.counts)
        true = as_labels(targets, "targets", classes)
        given = as_array(probabilities, "probabilities")
        if given.shape != (true.size, classes):
            raise DataError(
                f"probabilities have shape {list(given.shape)}, "
                f"but the {true.size} targets of {classes} classes ask for {[true.size, classes]}"
            )
        for start in range(0, true.size, _ROWS):
            rows = given[start : start + _ROWS].astype(np.float64)
            sums = rows.sum(axis=1)
            # A NaN fails every comparison, so the good rows are asked for.
            good = (rows >= 0).all(axis=1) & (np.abs(sums - 1) <= _SUM_TOLERANCE)
            if not good.all():
                wrong = start + int(np.argmin(good))
                raise DataError(f"row {wrong} of the probabilities is no distribution; give softmax outputs")
            self._add(rows, true[start : start + _ROWS])

    def _add(self, rows: NDArray[np.float64], true: NDArray[np.int64]) -> None:
        order = np.argsort(true, kind="stable")
        present, starts, counts = np.unique(true[order], return_index=True, return_counts=True)
        self.sums[present] += np.add.reduceat(rows[order], starts, axis=0)
        self.counts[present] += counts

    def matrix(self) -> NDArray[np.float64]:
        """The mean so far, [C, C]; the row of a class without a sample is 0."""
        return self.sums / np.maximum(self.counts, 1)[:, None]


def soft_confusion(probabilities: object, targets: object, num_classes: int) -> NDArray[np.float64]:
    """Average the probabilities of each true class : row i = mean softmax output of class i.

    It says more than counts of the same samples, since each sample speaks about all classes.

    Args:
        probabilities: [N, C] softmax outputs, array or tensor.
        targets: [N] true class ids.
        num_classes: C.

    Returns:
        [C, C]; rows sum to 1, the row of a class without a sample is 0.

    Raises:
        DataError: a shape does not fit, or a row is no distribution.

    >>> soft_confusion([[0.75, 0.25], [0.5, 0.5]], [0, 1], num_classes=2)
    array([[0.75, 0.25],
           [0.5 , 0.5 ]])
    """
    soft = SoftConfusion(num_classes)
    soft.update(probabilities, targets)
    return soft.matrix()
