"""The two file formats of a grouping: JSON with a line per group, and plain text with a line per class."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ssal.errors import DataError, InputError
from ssal.files import write_text

# A grouping of 100,000 classes takes 3 MB; what is far larger is no grouping.
_LARGEST = 64 << 20
_GROUP_ID = re.compile(r"[0-9]{1,9}")


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    classes: list[int]
    names: list[str] | None = None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    format: Literal["ssal-grouping"]
    version: Literal[1]
    num_classes: int
    groups: list[_Group]


def write(path: Path, groups: Sequence[Sequence[int]], class_names: Sequence[str] | None) -> None:
    """Write groups, given by their class ids, as JSON.

    Raises:
        InputError: the path does not end in .json.
        OSError: the file cannot be written; it is then as it was.
    """
    if path.suffix.lower() != ".json":
        raise InputError(f"a grouping is written as .json, not as {path.name}")
    lines: list[str] = []
    for classes in groups:
        entry: dict[str, object] = {"classes": classes}
        if class_names is not None:
            entry["names"] = [class_names[index] for index in classes]
        # ASCII only: a class name may hold characters that turn or hide the text of a terminal.
        lines.append(json.dumps(entry))
    head = f'"format": "ssal-grouping",\n  "version": 1,\n  "num_classes": {sum(map(len, groups))}'
    write_text(path, f'{{\n  {head},\n  "groups": [\n    ' + ",\n    ".join(lines) + "\n  ]\n}\n")


def read(path: Path) -> tuple[list[int], list[str] | None]:
    """Read the group of each class, and the class names where the file has them.

    Raises:
        DataError: the file is missing, too large, damaged, or of an unknown kind.
    """
    readers = {".json": _parse_json, ".txt": _parse_text}
    parse = readers.get(path.suffix.lower())
    if parse is None:
        what = (
            "a grouping is read from"
            if path.exists()
            else "there is no such run or file; a grouping is read from"
        )
        raise DataError(f"{path}: {what} {' or '.join(readers)}")
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise DataError("too large for a grouping")
        return parse(content)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except ValueError:  # a NUL in the path
        raise DataError(f"{str(path)!r} is no path") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _parse_json(content: bytes) -> tuple[list[int], list[str] | None]:
    try:
        document = _Document.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"no grouping: {place + ': ' if place else ''}{first['msg']}") from None
    # The count is known only from the groups: a wrong one in the head must not size anything.
    labels = [-1] * sum(len(group.classes) for group in document.groups)
    names: list[str] = [""] * len(labels)
    for number, group in enumerate(document.groups):
        if not group.classes:
            raise DataError(f"group {number} has no class")
        if group.names is not None and len(group.names) != len(group.classes):
            raise DataError(f"group {number} has {len(group.classes)} classes, but {len(group.names)} names")
        for index, name in zip(group.classes, group.names or [""] * len(group.classes), strict=True):
            if not 0 <= index < len(labels):
                raise DataError(f"group {number} holds class {index}; {len(labels)} classes are listed")
            if labels[index] >= 0:
                raise DataError(f"class {index} is in group {labels[index]} and in group {number}")
            labels[index], names[index] = number, name
    if document.num_classes != len(labels):
        raise DataError(f"num_classes is {document.num_classes}, but {len(labels)} classes are listed")
    named = [group.names is not None for group in document.groups]
    if any(named) and not all(named):
        raise DataError(f"group {named.index(False)} has no names, others have")
    return labels, names if any(named) else None


def _parse_text(content: bytes) -> tuple[list[int], None]:
    try:
        lines = content.decode("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError:
        raise DataError("no text") from None
    for number, line in enumerate(lines, start=1):
        if not _GROUP_ID.fullmatch(line.strip()):
            raise DataError(f"line {number} is {line[:40]!r}, not a group id")
    return [int(line) for line in lines], None
