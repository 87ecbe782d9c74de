"""Folders of images with one subfolder per class, as torchvision's ImageFolder reads them."""

import os
from collections.abc import Iterator
from pathlib import Path

from ssal.data.decode import IMAGE_SUFFIXES
from ssal.data.imagesets import FileSet
from ssal.data.index import FileIndex, Listing
from ssal.data.items import FileItems
from ssal.data.sources import RawData, SourceOptions, split_note, split_off_test
from ssal.errors import DataError

_TEST_FOLDERS = ("test", "val", "valid", "validation")


def read_folder(root: Path, options: SourceOptions) -> RawData:
    """Read a folder with train/ and test/ or val/, or one folder that is split by the seed of the options.

    Raises:
        DataError: There are no images, or a class folder has none.
    """
    if not _has_parts(root):
        train, test = split_off_test(read_class_folders(root, options.index), options)
        return RawData(train, test, notes=split_note(str(root), options))
    train = read_class_folders(root / "train", options.index)
    # A test/ without class folders holds images whose classes are kept secret.
    usable = [name for name in _TEST_FOLDERS if _class_folders(root / name)]
    if not usable:
        kept, test = split_off_test(train, options)
        return RawData(kept, test, notes=split_note(str(root / "train"), options))
    notes = tuple(f"{root / name} is not used: {root / usable[0]} is the test data" for name in usable[1:])
    return RawData(train, read_class_folders(root / usable[0], options.index), notes=notes)


def _has_parts(root: Path) -> bool:
    """Whether the folder is divided in parts; a train/ of images among other classes is itself a class."""
    train = root / "train"
    if not train.is_dir():
        return False
    others = set(_class_folders(root)) - {"train", *_TEST_FOLDERS}
    return not (others and flat_images(train) and not _class_folders(train))


def read_class_folders(root: Path, index: FileIndex | None = None) -> FileSet:
    """Collect the images below each subfolder of `root`, whose name is their class; all in sorted order.

    Names that begin with a dot, and files whose ending is not that of an image, are passed over.

    Args:
        root: The folder of class folders.
        index: What is known of these folders from before.

    Raises:
        DataError: There is no class folder, or one has no image below it.
    """
    names = _class_folders(root)
    if not names:
        raise DataError(f"{str(root)!r} has no folders of images: one folder per class is expected")
    paths: list[str] = []
    targets: list[int] = []
    empty: list[str] = []
    index = index or FileIndex()
    for number, name in enumerate(names):
        found = sorted(_image_files(root, name, index))
        paths.extend(found)
        targets.extend([number] * len(found))
        if not found:
            empty.append(name)
    if len(empty) == len(names):
        raise DataError(f"{str(root)!r} holds no images, in {len(names)} folders below it")
    if empty:
        more = f" ({len(empty)} such classes in all)" if len(empty) > 1 else ""
        raise DataError(f"class {empty[0]!r} has no image: {str(root / empty[0])!r} holds none{more}")
    return FileSet(FileItems.from_paths(root, paths), targets, names)


def flat_images(root: Path) -> list[str]:
    """Return the sorted names of the image files directly in a folder."""
    return sorted(entry.name for entry in os.scandir(root) if _is_image(entry))


def _class_folders(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(
        entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(".")
    )


def _image_files(root: Path, start: str, index: FileIndex) -> Iterator[str]:
    """Yield paths below `root` of the images in `start`; links are followed, but into no folder twice."""
    seen: set[tuple[int, int]] = set()
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        status = (root / folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        found = index.listing(root / folder, status, _scan)
        yield from (f"{folder}/{name}" for name in found.images)
        waiting += [f"{folder}/{name}" for name in found.folders]


def _scan(folder: Path) -> Listing:
    images: list[str] = []
    folders: list[str] = []
    links = False
    with os.scandir(folder) as entries:
        for entry in entries:
            links = links or entry.is_symlink()
            if _is_image(entry):
                images.append(entry.name)
            elif entry.is_dir() and not entry.name.startswith("."):
                folders.append(entry.name)
    return Listing(tuple(images), tuple(folders), lasting=not links)


def _is_image(entry: os.DirEntry[str]) -> bool:
    ending = "." + entry.name.rpartition(".")[2].lower()
    return ending in IMAGE_SUFFIXES and not entry.name.startswith(".") and entry.is_file()
