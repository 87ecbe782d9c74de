"""Which columns of a table are images and labels, and what its labels mean."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ssal.errors import DataError, unknown_name

_STORED = {"images": "encoded bytes", "labels": "whole numbers or text"}
_IMAGE_NAMES = ("image", "img")
# Best first: where a set has a fine and a coarse labelling, the fine one is the task.
_LABEL_NAMES = ("fine_label", "label", "labels", "class", "category", "target", "y")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its name.
        kind: "image" if it is declared to hold images, "bytes" if it may, "class" if it is declared to hold
            class ids, "value" if it holds integers or text, "other" else.
        class_names: For "class": the names of the ids.
    """

    name: str
    kind: Literal["image", "bytes", "class", "value", "other"]
    class_names: tuple[str, ...] = ()


def image_column(columns: Sequence[Column], wanted: str | None, where: str) -> Column:
    """Return the column of the images.

    Args:
        columns: All columns.
        wanted: Its name, if the user gave one.
        where: What to call the table in an error.

    Raises:
        InputError: There is no column of the wanted name.
        DataError: No column can hold images, or several can.
    """
    if wanted is not None:
        return _named(columns, wanted)
    candidates = [column for column in columns if column.kind == "image"]
    candidates = candidates or [column for column in columns if column.kind == "bytes"]
    return _single(candidates, _IMAGE_NAMES, "images", "image_column", columns, where)


def label_column(columns: Sequence[Column], wanted: str | None, where: str) -> Column:
    """Return the column of the labels.

    Arguments and errors are those of `image_column`.
    """
    if wanted is not None:
        return _named(columns, wanted)
    candidates = [column for column in columns if column.kind == "class"]
    values = [column for column in columns if column.kind == "value"]
    candidates = candidates or [column for column in values if column.name in _LABEL_NAMES] or values
    return _single(candidates, _LABEL_NAMES, "labels", "label_column", columns, where)


def _named(columns: Sequence[Column], wanted: str) -> Column:
    for column in columns:
        if column.name == wanted:
            return column
    raise unknown_name("column", wanted, [column.name for column in columns])


def _single(
    candidates: Sequence[Column],
    preferred: Sequence[str],
    what: Literal["images", "labels"],
    option: str,
    columns: Sequence[Column],
    where: str,
) -> Column:
    if len(candidates) == 1:
        return candidates[0]
    for name in preferred:
        for column in candidates:
            if column.name == name:
                return column
    if candidates:
        names = ", ".join(repr(column.name) for column in candidates)
        raise DataError(f"{where} has several columns that may be {what}: {names}; choose one with {option}")
    names = ", ".join(repr(column.name) for column in columns)
    raise DataError(f"{where} has no column of {what}, which are {_STORED[what]}; its columns are {names}")


def describe_columns(schema: pa.Schema) -> list[Column]:
    """Describe the columns of an Arrow schema, with the class names that `datasets` stores in it."""
    declared = _declared_features(schema)
    return [_describe(schema.field(name), declared.get(name)) for name in schema.names]


def _declared_features(schema: pa.Schema) -> dict[str, Any]:
    """Return the feature declarations in a schema; none if there are none, or they are no sound JSON."""
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(text)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _describe(field: pa.Field, declared: Any) -> Column:
    kind = declared.get("_type") if isinstance(declared, dict) else None
    names = declared.get("names") if isinstance(declared, dict) else None
    if kind == "Image":
        return Column(field.name, "image")
    if kind == "ClassLabel" and isinstance(names, list) and pa.types.is_integer(field.type):
        return Column(field.name, "class", tuple(str(name) for name in names))
    if _holds_bytes(field.type):
        return Column(field.name, "bytes")
    return Column(field.name, "value" if _is_value(field.type) else "other")


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(part.name == "bytes" and _holds_bytes(part.type) for part in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_value(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def encode_labels(
    values: pa.ChunkedArray, column: Column, where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Turn the entries of a label column into class ids and class names.

    Text is its own class name; integers without declared names are named by their digits.

    Args:
        values: Entries, in the order of the rows.
        column: What is known of them.
        where: What to call the table in an error.

    Returns:
        Class ids int64 [N], and the names: as declared, else sorted (integers by value).

    Raises:
        DataError: A label is missing, negative without a declaration, or neither integer nor text.

    >>> encode_labels(pa.chunked_array([["cat", "ant", "cat"]]), Column("label", "value"), "table")[1]
    ('ant', 'cat')
    """
    if not _is_value(values.type):
        raise DataError(
            f"column {column.name!r} of {where} must hold integers or text; it holds {values.type}"
        )
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if values.null_count:
        row = pc.index(values.is_null(), True).as_py()
        raise DataError(f"row {row} of {where} has no label in column {column.name!r}")
    labels = np.asarray(values.to_pylist()) if pa.types.is_string(values.type) else values.to_numpy()
    if column.kind == "class":
        return labels.astype(np.int64), column.class_names
    distinct, ids = np.unique(labels, return_inverse=True)
    if pa.types.is_integer(values.type) and len(distinct) and distinct[0] < 0:
        row = int(np.flatnonzero(labels == distinct[0])[0])
        raise DataError(f"label {distinct[0]} in row {row} of {where} is negative; class ids count from 0")
    return ids.astype(np.int64).reshape(-1), tuple(str(value) for value in distinct)
