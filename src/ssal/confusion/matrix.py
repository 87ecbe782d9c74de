"""The matrices of §3.1: F row-normalised, S similarity, D distance; dense or sparse alike."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ssal.confusion.arrays import DENSE_LIMIT, as_array
from ssal.errors import DataError, InputError, unknown_name

Confusion: TypeAlias = "NDArray[np.float64] | sparse.csr_array"
"""A checked confusion matrix [C, C]: dense float64, or CSR float64 in canonical form."""

CRITERIA = ("join", "split")


def check_confusion(confusion: object) -> Confusion:
    """Check a confusion matrix and bring it to one of two forms.

    Args:
        confusion: [C, C] counts or mean probabilities; array, nested sequence, tensor, or scipy sparse.

    Returns:
        Dense float64, or CSR float64 (sorted, without duplicates and stored zeros); the input is not changed.

    Raises:
        DataError: it is not square or empty, or an entry (which is named) is negative or not finite.

    >>> check_confusion([[3, 1], [0, 4]])
    array([[3., 1.],
           [0., 4.]])
    """
    if sparse.issparse(confusion):
        given: Any = confusion
        if given.dtype.kind not in "biuf":
            raise DataError(f"the confusion matrix must hold real numbers, not {given.dtype}")
        _check_square(given.shape)
        matrix = sparse.csr_array(given, dtype=np.float64, copy=True)
        matrix.sum_duplicates()
        wrong = np.flatnonzero(~((matrix.data >= 0) & np.isfinite(matrix.data)))
        if wrong.size:
            row = int(np.searchsorted(matrix.indptr, wrong[0], side="right")) - 1
            raise _bad_entry(row, int(matrix.indices[wrong[0]]), float(matrix.data[wrong[0]]))
        matrix.eliminate_zeros()
        return matrix
    dense = as_array(confusion, "the confusion matrix").astype(np.float64)
    _check_square(dense.shape)
    # NaN survives into both extremes.
    if not (np.isfinite(dense.max()) and dense.min() >= 0):
        row, column = np.argwhere(~((dense >= 0) & np.isfinite(dense)))[0].tolist()
        raise _bad_entry(row, column, float(dense[row, column]))
    return dense


def class_count(matrix: Confusion) -> int:
    """C of a [C, C] matrix."""
    return cast("tuple[int, int]", matrix.shape)[0]


def _check_square(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise DataError(f"a confusion matrix must be square, [C, C], not of shape {list(shape)}")


def _bad_entry(row: int, column: int, value: float) -> DataError:
    return DataError(
        f"entry [{row}, {column}] of the confusion matrix is {value:g}; "
        "counts or probabilities ≥ 0 are allowed"
    )


def normalise_rows(confusion: object) -> Confusion:
    """Compute F (§3.1): each row divided by its sum, then the diagonal set to 0.

    The diagonal counts in the sum, so a row of F sums to the error rate of its class; a class without a
    sample has a row of 0.

    Args:
        confusion: [C, C] counts or probabilities, dense or sparse.

    Returns:
        F [C, C], dense or CSR as the input was.

    Raises:
        DataError: see `check_confusion`; or the sum of a row overflows.

    >>> normalise_rows([[3, 1], [0, 0]])
    array([[0.  , 0.25],
           [0.  , 0.  ]])
    """
    checked = check_confusion(confusion)
    with np.errstate(over="ignore"):
        totals = np.asarray(checked.sum(axis=1), dtype=np.float64)
    if not np.isfinite(totals).all():
        raise DataError(
            f"row {int(np.argmin(np.isfinite(totals)))} of the confusion matrix is too large to sum"
        )
    totals[totals == 0] = 1
    if isinstance(checked, np.ndarray):
        dense: NDArray[np.float64] = checked / totals[:, None]
        np.fill_diagonal(dense, 0)
        return dense
    rows, columns, values = entries(checked)
    errors = rows != columns
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows[errors], minlength=totals.size))])
    shares = values[errors] / totals[rows[errors]]
    return sparse.csr_array((shares, columns[errors], starts), shape=(totals.size, totals.size))


class Entries(NamedTuple):
    """The stored entries of a CSR matrix, row by row: three parallel arrays."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float64]


def entries(matrix: sparse.csr_array) -> Entries:
    """List the stored entries of a CSR matrix."""
    stored: Any = matrix
    rows = np.repeat(np.arange(stored.shape[0], dtype=np.int64), np.diff(stored.indptr))
    return Entries(rows, stored.indices.astype(np.int64), stored.data)


def similarity(confusion: object) -> Confusion:
    """Compute S = (F + Fᵀ)/2, which is 1 − D of Equation 2 but for the diagonal.

    Args:
        confusion: [C, C] counts or probabilities, dense or sparse.

    Returns:
        S [C, C], symmetric with a diagonal of 0, dense or CSR as the input was.

    Raises:
        DataError: see `check_confusion`.

    >>> similarity([[3, 1], [0, 4]])
    array([[0.   , 0.125],
           [0.125, 0.   ]])
    """
    shares = normalise_rows(confusion)
    if isinstance(shares, np.ndarray):
        return (shares + shares.T) / 2
    symmetric = sparse.csr_array((shares + shares.T) / 2)
    symmetric.sum_duplicates()
    return symmetric


def distance(confusion: object, criterion: str) -> Confusion:
    """Compute D of equations 1 and 2: of D̂ = 1 - F for join, of D̂ = F for split, D = (D̂ + D̂ᵀ)/2.

    Args:
        confusion: [C, C] counts or probabilities, dense or sparse.
        criterion: "join" brings similar classes together, "split" keeps them apart.

    Returns:
        D [C, C]. For join it is dense whatever the input was.

    Raises:
        DataError: see `check_confusion`.
        InputError: the criterion is unknown, or D would be dense over too many classes.

    >>> distance([[3, 1], [0, 4]], "join")
    array([[1.   , 0.875],
           [0.875, 1.   ]])
    """
    check_criterion(criterion)
    similar = similarity(confusion)
    if criterion == "split":
        return similar
    if not isinstance(similar, np.ndarray):
        if class_count(similar) > DENSE_LIMIT:
            raise InputError(
                f"distances under join are dense, and computed for up to {DENSE_LIMIT} classes, "
                f"not {class_count(similar)}; use similarity"
            )
        similar = np.asarray(similar.toarray(), dtype=np.float64)
    return 1 - similar


def check_criterion(criterion: str) -> None:
    """Check that a criterion is join or split (§3.1).

    Raises:
        InputError: it is neither "join" nor "split".
    """
    if criterion not in CRITERIA:
        raise unknown_name("criterion", str(criterion), CRITERIA)
