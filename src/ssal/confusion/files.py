"""Confusion matrices in files: .npz both ways, .npy and .csv for reading."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ssal.confusion.arrays import as_array
from ssal.confusion.matrix import check_confusion, class_count
from ssal.errors import DataError, InputError
from ssal.files import write_bytes

_VERSION = 1
_SPARSE_KEYS = ("data", "indices", "indptr", "shape")
# What an archive may unpack to: far above a dense matrix of 10,000 classes.
_LARGEST = 2 << 30


def save_confusion(path: str | Path, confusion: object, class_names: Sequence[str] | None = None) -> None:
    """Write a confusion matrix, with the names of its classes where there are any, in one atomic step.

    Args:
        path: a file that ends in .npz; without pickle inside, so anybody can read it safely.
        confusion: [C, C], dense or sparse; integers stay integers.
        class_names: names of the C classes.

    Raises:
        InputError: the path does not end in .npz.
        DataError: see `check_confusion`; or the number of names is not C.
        OSError: the file cannot be written; it is then as it was.
    """
    target = Path(path)
    if target.suffix.lower() != ".npz":
        raise InputError(f"a confusion matrix is written as .npz, not as {target.name}")
    checked = check_confusion(confusion)
    content: dict[str, NDArray[Any]] = {"version": np.array(_VERSION)}
    if isinstance(checked, np.ndarray):
        content["confusion"] = as_array(confusion, "the confusion matrix")
    else:
        given: Any = confusion
        integral = given.dtype.kind in "iu"
        content["data"] = checked.data.astype(given.dtype) if integral else checked.data
        content |= {"indices": checked.indices, "indptr": checked.indptr, "shape": np.array(checked.shape)}
    if class_names is not None:
        _check_names(class_names, class_count(checked))
        content["class_names"] = np.array(list(class_names), dtype=np.str_)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **content)
    write_bytes(target, buffer.getvalue())


def load_confusion(
    path: str | Path,
) -> tuple[NDArray[Any] | sparse.csr_array, tuple[str, ...] | None]:
    """Read a confusion matrix from .npz (as `save_confusion` writes it), .npy, or .csv.

    A .csv file holds one row of numbers per true class. A first line of class names, a first column of them,
    or both, are recognised by the shape.

    Returns:
        The checked matrix [C, C], dense or CSR, and the class names if the file has them.

    Raises:
        DataError: the file is missing, damaged, of an unknown kind, or no confusion matrix.
    """
    source = Path(path)
    readers = {".npz": _read_npz, ".npy": _read_npy, ".csv": _read_csv}
    reader = readers.get(source.suffix.lower())
    if reader is None:
        raise DataError(f"{source}: a confusion matrix is read from {', '.join(readers)}")
    try:
        matrix, names = reader(source)
        checked = check_confusion(matrix)
        if names is not None:
            _check_names(names, class_count(checked))
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    except OSError as error:
        raise DataError(f"{source}: {error.strerror or 'cannot be read'}") from None
    except Exception:
        # Damage makes numpy and zipfile raise a dozen kinds of error, not all of them documented.
        raise DataError(
            f"{source}: damaged, or no {source.suffix} file that holds a confusion matrix"
        ) from None
    if isinstance(checked, np.ndarray):
        return np.asarray(matrix), names
    return sparse.csr_array(checked, dtype=matrix.dtype), names


def _check_names(names: Sequence[str], num_classes: int) -> None:
    if len(names) != num_classes:
        raise DataError(f"{len(names)} class names, but the confusion matrix has {num_classes} classes")


def _read_npy(path: Path) -> tuple[NDArray[Any], None]:
    loaded = np.load(path, allow_pickle=False)
    if not isinstance(loaded, np.ndarray):
        loaded.close()
        raise DataError("an archive of arrays; name it .npz")
    return loaded, None


def _read_npz(path: Path) -> tuple[NDArray[Any] | sparse.csr_array, tuple[str, ...] | None]:
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
            raise DataError(f"unpacks to more than {_LARGEST >> 30} GiB")
    with np.load(path, allow_pickle=False) as content:
        if "version" in content and int(content["version"]) != _VERSION:
            raise DataError(f"written in format {int(content['version'])}, this program reads {_VERSION}")
        names: tuple[str, ...] | None = None
        if "class_names" in content:
            names = tuple(str(name) for name in np.atleast_1d(content["class_names"]))
        if "confusion" in content:
            return content["confusion"], names
        if all(key in content for key in _SPARSE_KEYS):
            parts = [np.asarray(content[key]) for key in _SPARSE_KEYS]
            shape = tuple(int(size) for size in parts[3])
            matrix = sparse.csr_array((parts[0], parts[1], parts[2]), shape=shape)
            # Indices from a file decide where memory is read: check every one.
            matrix.check_format(full_check=True)
            return matrix, names
        raise DataError(f"has the arrays {', '.join(content.files) or '(none)'}, but none called confusion")


def _read_csv(path: Path) -> tuple[NDArray[np.float64], tuple[str, ...] | None]:
    text = path.read_text(encoding="utf-8-sig")
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise DataError(str(error)) from None
    if not rows:
        raise DataError("is empty")
    if len({len(row) for row in rows}) > 1:
        raise DataError("its rows differ in length")
    # The shape tells names from numbers even where class names are digits.
    surplus = len(rows) - len(rows[0])
    framed = surplus == 0 and not all(_is_number(cell) for cell in rows[0])
    header = [cell.strip() for cell in rows.pop(0)] if framed or surplus == 1 else None
    column = [row.pop(0).strip() for row in rows] if framed or surplus == -1 else None
    if header is not None and column is not None and header[1:] != column:
        raise DataError("its first line and its first column name different classes, or in another order")
    for number, row in enumerate(rows):
        for place, cell in enumerate(row):
            if not _is_number(cell):
                raise DataError(f"entry [{number}, {place}] is {cell!r}, not a number")
    names = column if column is not None else header
    matrix = np.array([[float(cell) for cell in row] for row in rows], dtype=np.float64)
    return matrix, None if names is None else tuple(names)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
