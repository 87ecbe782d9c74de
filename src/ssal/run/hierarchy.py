"""Superclasses of the classes of a model: from its data, or from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ssal.data import Hierarchy
from ssal.errors import InputError, nearest
from ssal.metrics import mistake_severity

_LARGEST_FILE = 10_000_000


def read_hierarchy(path: Path, class_names: Sequence[str]) -> Hierarchy:
    """Read a JSON object that gives the superclass of each class by name.

    Raises:
        InputError: the file cannot be read, holds something else, or lacks a class; the message names it.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{path} is larger than 10 MB; a hierarchy is one short line for each class")
        content: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read a hierarchy from {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is no JSON") from None
    entries = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    if not entries or not all(isinstance(value, str) for value in entries.values()):
        raise InputError(f'{path} must be a JSON object of superclasses, such as {{"cat": "animal"}}')
    missing = [name for name in class_names if name not in entries]
    if missing:
        near = nearest(missing[0], entries, limit=1)
        hint = f"; the nearest in it is {near[0]!r}" if near else ""
        more = f" and {len(missing) - 1} more classes" if len(missing) > 1 else ""
        raise InputError(f"{path} lacks the class {missing[0]!r}{more}{hint}")
    return _hierarchy([entries[name] for name in class_names])


def _hierarchy(superclasses: Sequence[str]) -> Hierarchy:
    names = tuple(sorted(set(superclasses)))
    places = {name: number for number, name in enumerate(names)}
    return Hierarchy(names, np.array([places[name] for name in superclasses], dtype=np.int64))


def align_hierarchy(
    hierarchy: Hierarchy | None, data_names: Sequence[str], class_names: Sequence[str]
) -> Hierarchy | None:
    """A hierarchy of the classes of data as one of the classes of a model; None if it lacks one of them."""
    if hierarchy is None or tuple(data_names) == tuple(class_names):
        return hierarchy
    above = {name: hierarchy.names[hierarchy.of_class[place]] for place, name in enumerate(data_names)}
    if any(name not in above for name in class_names):
        return None
    return _hierarchy([above[name] for name in class_names])


def severity(
    ways: Mapping[str, Tensor], target: Tensor, hierarchy: Hierarchy | None
) -> dict[str, float | None] | None:
    """Mean severity of the mistakes of each way: 1 inside the true superclass, 2 outside.

    Args:
        ways: log-probabilities [N, C].
        target: true classes [N].
        hierarchy: superclasses of the C classes; without them there is no severity.

    Returns:
        `superclasses`, their number, and a value for each way, None for one without mistakes.
    """
    if hierarchy is None:
        return None
    result: dict[str, float | None] = {"superclasses": len(hierarchy.names)}
    for way, log_prob in ways.items():
        value = mistake_severity(log_prob.argmax(dim=1), target, _levels(hierarchy))
        result[way] = None if np.isnan(value) else value
    return result


def _levels(hierarchy: Hierarchy) -> NDArray[np.int64]:
    return np.asarray(hierarchy.of_class, dtype=np.int64)
