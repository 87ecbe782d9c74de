"""What a caller passes as numbers, as a numpy array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssal.errors import DataError, InputError

# A dense matrix over this many classes takes 800 MB; beyond it only the sparse form is offered.
DENSE_LIMIT = 10_000


def as_array(values: object, name: str) -> NDArray[Any]:
    """Return numbers as an array; a torch tensor comes to the CPU first, bfloat16 as float32.

    Raises:
        DataError: the values do not form one rectangular array of numbers.
    """
    tensor: Any = values
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        values = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name} must form one array of numbers, but its rows differ in length") from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} must hold real numbers, not {array.dtype}")
    return array


def check_num_classes(num_classes: object) -> int:
    """Return the number of classes, or say why it is none.

    Raises:
        InputError: it is not an integer of at least 1.
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, (int, np.integer)) or num_classes < 1:
        raise InputError(f"num_classes must be an integer of at least 1, not {num_classes!r}")
    return int(num_classes)


def as_labels(values: object, name: str, num_classes: int) -> NDArray[np.int64]:
    """Return class ids as int64 [N].

    Raises:
        DataError: they are not a vector of integers from 0 to C - 1.
    """
    array = as_array(values, name)
    if array.ndim != 1:
        raise DataError(f"{name} must be a vector of class ids, not of shape {list(array.shape)}")
    if array.dtype.kind not in "iu" and array.size:
        raise DataError(f"{name} must be integers, not {array.dtype}")
    wrong = np.flatnonzero((array < 0) | (array >= num_classes))
    if wrong.size:
        raise DataError(
            f"{name}[{wrong[0]}] is {array[wrong[0]]}, "
            f"but the {num_classes} classes are 0 to {num_classes - 1}"
        )
    return array.astype(np.int64)
