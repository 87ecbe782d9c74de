"""Tiny-ImageNet in the folders of its archive: 200 classes, 64×64 pixels, the grey ones read as RGB."""

from pathlib import Path

from ssal.data.folder import read_class_folders
from ssal.data.sources import RawData, SourceOptions, register_source
from ssal.data.wordnet import listed_images, read_lines, with_words
from ssal.errors import DataError, InputError

_FOLDER = "tiny-imagenet-200"


@register_source("tiny-imagenet")
def tiny_imagenet(options: SourceOptions) -> RawData:
    """Read `train/ID/images/*.JPEG`, and `val/images/*.JPEG` with `val/val_annotations.txt` as test data.

    The archive's own test/ has no labels and is not read.

    Raises:
        InputError: No folder was given.
        DataError: The folder has another layout.
    """
    if options.data_dir is None:
        raise InputError(
            f"tiny-imagenet is not downloaded by itself: get {_FOLDER}.zip from Stanford's course CS231n,"
            " unpack it, and name the folder with data_dir (--data-dir)"
        )
    root = options.data_dir / _FOLDER if (options.data_dir / _FOLDER).is_dir() else options.data_dir
    if not is_tiny_imagenet(root):
        raise DataError(
            f"{str(root)!r} is not Tiny-ImageNet: train/ and val/val_annotations.txt are expected in it"
        )
    words = _words(root / "words.txt")
    train = with_words(read_class_folders(root / "train", options.index), words)
    annotations = root / "val" / "val_annotations.txt"
    entries = [line.split("\t") for line in read_lines(annotations)]
    short = [entry for entry in entries if len(entry) < 2]
    if short:
        raise DataError(
            f"{str(annotations)!r} must have a file name and an id per line, with a tab; got {short[0]}"
        )
    test = listed_images(
        root / "val" / "images", [entry[0] for entry in entries], [entry[1] for entry in entries], annotations
    )
    return RawData(train, with_words(test, words), image_size=(64, 64), channels=3)


def is_tiny_imagenet(root: Path) -> bool:
    """Tell whether a folder has the layout of the archive."""
    return (root / "train").is_dir() and (root / "val" / "val_annotations.txt").is_file()


def _words(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    entries = (line.split("\t", 1) for line in read_lines(path))
    return {entry[0]: entry[1] for entry in entries if len(entry) == 2}
