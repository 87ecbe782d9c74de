"""What is known of folders and image files from before, as far as they have not changed since.

So a folder of a million files need not be listed, nor files be decoded to see whether all can be read, each
time that a run goes on. Whether something has changed is told by inode, size and both times; that of the last
change of status cannot be set, as copying tools set the other one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import PIL
from pydantic import BaseModel, ConfigDict, ValidationError

from ssal.files import write_bytes

# A change may leave the times as they are if it comes right after another one: file systems count time in
# steps of up to two seconds. What has changed as lately as that is looked at again.
_STEP_NS = 2 * 10**9

# Inode, bytes, time of the last change of content and of status in nanoseconds.
Stamp = tuple[int, int, int, int]


class Listing(NamedTuple):
    """What a folder holds.

    Attributes:
        images: Names of its image files.
        folders: Names of the folders in it.
        lasting: Whether the folder changes whenever this does; links may lead elsewhere at any time.
    """

    images: tuple[str, ...]
    folders: tuple[str, ...]
    lasting: bool = True


class _Folder(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    stamp: Stamp
    images: tuple[str, ...]
    folders: tuple[str, ...]


class _Content(BaseModel):
    """The index as a file; files that were read by another Pillow may not be readable by this one."""

    model_config = ConfigDict(extra="forbid")
    format: Literal[1] = 1
    pillow: str = PIL.__version__
    folders: dict[str, _Folder] = {}
    readable: dict[str, Stamp] = {}


class FileIndex:
    """An index that starts empty and learns; `load` and `save` keep it from one run to the next.

    It can be used from several threads.
    """

    def __init__(self) -> None:
        self._known = _Content()
        self._seen = _Content()

    @classmethod
    def load(cls, path: Path) -> FileIndex:
        """Read an index; one that is missing, damaged or of other versions is the same as an empty one."""
        index = cls()
        try:
            known = _Content.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return index
        if known.pillow == PIL.__version__:
            index._known = known
        return index

    def save(self, path: Path) -> None:
        """Write what was asked for since `load`, and nothing else, if that differs from what was there.

        Raises:
            OSError: The file cannot be written; it is then as it was.
        """
        if self._seen != self._known:
            write_bytes(path, self._seen.model_dump_json().encode())
            self._known = self._seen.model_copy(deep=True)

    def listing(self, folder: Path, status: os.stat_result, scan: Callable[[Path], Listing]) -> Listing:
        """Return what a folder holds, by `scan` unless the folder is as it was when it was scanned last.

        Args:
            folder: The folder.
            status: What `folder.stat()` says, asked for just now.
            scan: Lists the folder.
        """
        name, stamp = str(folder), _stamp(status)
        known = self._known.folders.get(name)
        if known is not None and known.stamp == stamp:
            self._seen.folders[name] = known
            return Listing(known.images, known.folders)
        settled = _settled(stamp)
        found = scan(folder)
        if settled and found.lasting and _can_be_kept(name, *found.images, *found.folders):
            self._seen.folders[name] = _Folder(stamp=stamp, images=found.images, folders=found.folders)
        return found

    def once(self, path: Path, read: Callable[[], object]) -> None:
        """Read a file to see whether it can be read, unless it is as it was when that went well.

        Args:
            path: The file.
            read: Reads it, and raises if it cannot, which is passed on; a file that fails is tried again each
                time.
        """
        try:
            stamp = _stamp(path.stat())
        except OSError:
            # What is wrong is for `read` to say.
            read()
            return
        name = str(path)
        if self._known.readable.get(name) != stamp:
            settled = _settled(stamp)
            read()
            if not (settled and _can_be_kept(name)):
                return
        self._seen.readable[name] = stamp


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _settled(stamp: Stamp) -> bool:
    return time.time_ns() - max(stamp[2:]) >= _STEP_NS


def _can_be_kept(*names: str) -> bool:
    """Whether JSON can hold the names; those of files may be no UTF-8."""
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        return False
    return True
