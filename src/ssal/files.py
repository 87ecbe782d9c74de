"""Writing files so that a reader sees the old content or the new one, never half of it."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TEMPORARY = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}")
# What file systems answer that cannot flush a folder.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of `path` in one step, surviving a crash or a full disk.

    Raises:
        OSError: the file cannot be written; its name is in the message, its content is as it was.
    """
    with _replacing(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def keep_copy(path: Path, copy: Path) -> None:
    """Let `copy` have the present content of `path`, in one step, whatever becomes of `path` later.

    A second name of the same file costs no space and no time; where the file system has none, it is copied.

    Raises:
        OSError: `copy` cannot be written; it is then as it was.
    """
    with _replacing(copy) as temporary:
        try:
            temporary.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, temporary)


@contextmanager
def _replacing(path: Path) -> Generator[Path]:
    """A temporary file that takes the place of `path` if the block succeeds, and goes if it fails.

    It lies in the same folder: a rename is only atomic within one file system.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        # Under the name that a person knows; a failed write has none at all.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        # Also after success: replacing one name of a file by another name of the same file does nothing.
        temporary.unlink(missing_ok=True)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def append_text(path: Path, text: str) -> None:
    """Add lines to a text file, all of them in one write.

    Raises:
        OSError: the file cannot be written; its name is in the message.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            _write_all(descriptor, text.encode("utf-8", "backslashreplace"))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def remove_leftovers(folder: Path) -> None:
    """Delete what writers that were killed left in `folder` and below; no writer may be at work there."""
    for path in folder.rglob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Replace the content of a text file in one step, in UTF-8; what has no place there gets its code."""
    write_bytes(path, content.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Replace the content of a JSON file in one step; numbers that JSON lacks (NaN) are an error.

    Letters of all alphabets stay readable; what would steer the terminal that shows the file is escaped.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, "".join(map(_escaped, text)) + "\n")


def _escaped(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return json.dumps(character.encode("utf-8", "backslashreplace").decode())[1:-1]
