"""Seconds until a folder of 100,000 image files is open, and what a second look at its files costs."""

import os
import tempfile
from pathlib import Path
from unittest import mock

from harness import Ratio, arguments, one_thread, seconds

one_thread()

from jpeg_epoch import write_folder  # noqa: E402

from ssal.data import FileIndex, FileSet, find_unreadable, index, open_data  # noqa: E402

_CLASSES, _SOURCES = 1000, 400


def link_folder(root: Path, count: int, classes: int = _CLASSES) -> None:
    """Class folders with `count` names of a few hundred files, which is what listing and headers cost."""
    sources = root / "sources"
    write_folder(sources, _SOURCES, 256)
    files = sorted(sources.rglob("*.jpg"))
    for number in range(classes):
        (root / "images" / f"class{number:04}").mkdir(parents=True)
    for number in range(count):
        os.link(
            files[number % _SOURCES], root / "images" / f"class{number % classes:04}" / f"{number:06}.jpg"
        )


def main() -> None:
    given = arguments(
        1, [("files", int, 100_000, "in the folder"), ("checked", int, 4000, "files that are decoded")]
    )
    with tempfile.TemporaryDirectory() as name, mock.patch.object(index, "_STEP_NS", 0):
        root, kept = Path(name), Path(name) / "index.json"
        link_folder(root, given.files)

        def start(known: FileIndex) -> FileSet:
            images = open_data(root / "images", in_memory=False, check_files=False, index=known).train
            known.save(kept)
            assert isinstance(images, FileSet)
            return images

        sides = {
            "first": seconds(lambda: start(FileIndex()))(),
            "again": seconds(lambda: start(FileIndex.load(kept)))(),
        }
        settings = {"files": given.files, "classes": _CLASSES, "unit": "s"}
        for side in sides:
            label = f"seconds to open {given.files:,} files: {side}"
            Ratio(label, sides[side], 5.0, "at most", sides, settings).print()
        known = FileIndex.load(kept)
        images = start(known).select(range(given.checked))
        checks = {"first": seconds(lambda: find_unreadable(images, index=known))()}
        known.save(kept)
        known = FileIndex.load(kept)
        checks["again"] = seconds(lambda: find_unreadable(images, index=known))()
    label = "check of files, again ÷ first"
    settings = {"files": given.checked, "unit": "s"}
    Ratio(label, checks["again"] / checks["first"], 0.1, "at most", checks, settings).print()


if __name__ == "__main__":
    main()
