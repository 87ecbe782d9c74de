"""What lies inside the groups: the numerator of J(γ)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssal.confusion import Confusion
from ssal.confusion.matrix import entries


def inside(matrix: Confusion, labels: NDArray[np.int64]) -> float:
    """Sum the entries [i, j] with γ(i) = γ(j), i ≠ j, of a matrix whose diagonal is 0.

    Args:
        matrix: [C, C], dense or CSR.
        labels: [C] group of each class.
    """
    return float(inside_by_group(matrix, labels, int(labels.max()) + 1).sum())


def inside_by_group(matrix: Confusion, labels: NDArray[np.int64], num_groups: int) -> NDArray[np.float64]:
    """The same sum for each group, [k]."""
    if isinstance(matrix, np.ndarray):
        per_class = np.where(labels[:, None] == labels, matrix, 0).sum(axis=1)
        return np.bincount(labels, weights=per_class, minlength=num_groups).astype(np.float64)
    rows, columns, values = entries(matrix)
    same = labels[rows] == labels[columns]
    return np.bincount(labels[rows[same]], weights=values[same], minlength=num_groups).astype(np.float64)
