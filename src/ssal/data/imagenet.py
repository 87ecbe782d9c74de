"""ImageNet (ILSVRC 2012), with its validation images in class folders or listed by the development kit."""

from pathlib import Path
from typing import Any

from scipy.io import loadmat

from ssal.data.folder import flat_images, read_class_folders
from ssal.data.imagesets import FileSet
from ssal.data.sources import RawData, SourceOptions, register_source
from ssal.data.wordnet import listed_images, read_lines, with_words
from ssal.errors import DataError, InputError

_TRAIN = ("train", "ILSVRC2012_img_train")
_VAL = ("val", "ILSVRC2012_img_val")
_KIT = ("ILSVRC2012_devkit_t12/data", "devkit/data", "data")
_LIST = "ILSVRC2012_validation_ground_truth.txt"
_SYNSETS = "meta.mat"


@register_source("imagenet")
def imagenet(options: SourceOptions) -> RawData:
    """Read `train/ID/*.JPEG` and, as test data, `val/ID/*.JPEG`, or `val/*.JPEG` with the kit's list.

    Raises:
        InputError: No folder was given.
        DataError: The folder has another layout.
    """
    if options.data_dir is None:
        raise InputError(
            "imagenet cannot be downloaded without an account: unpack the ILSVRC2012 archives to train/ID/"
            f" and val/, for a flat val/ the development kit to {_KIT[0].split('/')[0]}/ too, and name the"
            " folder with data_dir (--data-dir)"
        )
    root = options.data_dir
    train = read_class_folders(_first(root, _TRAIN), options.index)
    val = _first(root, _VAL)
    kit = next((root / place for place in _KIT if (root / place / _SYNSETS).is_file()), None)
    wnids, words = ({}, {}) if kit is None else _synsets(kit / _SYNSETS)
    if any(entry.is_dir() for entry in val.iterdir()):
        test = read_class_folders(val, options.index)
    elif kit is None:
        raise DataError(
            f"the images of {str(val)!r} lie in no class folders, and {str(root / _KIT[0])!r}, which lists"
            " their classes, is missing: unpack the development kit there"
        )
    else:
        test = _by_list(val, kit / _LIST, wnids)
    return RawData(with_words(train, words), with_words(test, words), image_size=(224, 224), channels=3)


def _first(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"{str(root)!r} is not ImageNet: a folder {' or '.join(names)} is expected in it")


def _by_list(val: Path, path: Path, wnids: dict[int, str]) -> FileSet:
    """Pair the sorted validation images with the lines of the list, which hold ids of the kit's own."""
    files, lines = flat_images(val), read_lines(path)
    if len(files) != len(lines):
        raise DataError(f"{str(path)!r} has {len(lines)} lines, but {str(val)!r} has {len(files)} images")
    for line in lines:
        if not line.strip().isdecimal() or int(line) not in wnids:
            raise DataError(
                f"{str(path)!r} has the line {line!r}, which is no class id of the development kit"
            )
    return listed_images(val, files, [wnids[int(line)] for line in lines], path)


def _synsets(path: Path) -> tuple[dict[int, str], dict[str, str]]:
    """Return WordNet id by the kit's number, and words by WordNet id, of the classes without subclasses."""
    try:
        synsets: Any = loadmat(path, squeeze_me=True)["synsets"]
        # One class alone is squeezed to a single record.
        records = synsets.reshape(-1)
        leaves = [record for record in records if int(record["num_children"]) == 0]
        numbers = {int(record["ILSVRC2012_ID"]): str(record["WNID"]) for record in leaves}
        return numbers, {str(record["WNID"]): str(record["words"]) for record in leaves}
    except Exception as error:
        raise DataError(
            f"{str(path)!r} cannot be read as the development kit's list of classes: {error}"
        ) from error
