"""CIFAR-100 from Parquet files, from torchvision's files, or downloaded by torchvision."""

import os
from pathlib import Path
from typing import Final

import numpy as np

from ssal.data.classes import Hierarchy
from ssal.data.imagesets import ArraySet
from ssal.data.parquet import has_parquet, read_parquet
from ssal.data.sources import RawData, SourceOptions, register_source
from ssal.errors import DataError, InputError

_EXTRACTED = "cifar-100-python"

SUPERCLASSES: Final = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}


@register_source("cifar100")
def cifar100(options: SourceOptions) -> RawData:
    """Read CIFAR-100, augmented as in the paper: shifted by up to 5 pixels, and mirrored.

    Where no folder is given, torchvision downloads it once into the user's cache.

    Raises:
        InputError: No folder was given, and it cannot be downloaded.
        DataError: The folder given does not hold it, or a file is damaged.
    """
    root = options.data_dir
    if root is not None and has_parquet(root):
        raw = read_parquet(root, options)
        return RawData(raw.train, raw.test, shift=5, channels=3, hierarchy=raw.hierarchy, notes=raw.notes)
    if root is None:
        return _from_torchvision(_cache_folder(), download=True)
    if not (root / _EXTRACTED).is_dir():
        raise DataError(
            f"{str(root)!r} does not hold CIFAR-100: train.parquet and test.parquet are expected in it, or"
            f" torchvision's folder {_EXTRACTED}/"
        )
    return _from_torchvision(root, download=False)


def _from_torchvision(root: Path, *, download: bool) -> RawData:
    # Importing torchvision takes a second that the other sources need not wait for.
    from torchvision.datasets import CIFAR100

    # Its files are pickles. The loader compares their MD5 with the published ones before it opens them, and
    # nothing else here does open them.
    try:
        parts = [CIFAR100(root, train=train, download=download) for train in (True, False)]
    except Exception as error:
        reason = " ".join(str(error).split())
        if not download:
            raise DataError(f"{str(root / _EXTRACTED)!r} is not the published CIFAR-100: {reason}") from error
        raise InputError(
            f"cifar100 cannot be downloaded ({reason}); put its train.parquet and test.parquet into a folder,"
            " and name that with data_dir (--data-dir)"
        ) from error
    train, test = (ArraySet(np.asarray(part.data), part.targets, part.classes) for part in parts)
    return RawData(train, test, shift=5, hierarchy=_hierarchy(train.class_names))


def _hierarchy(class_names: tuple[str, ...]) -> Hierarchy:
    superclass = {name: number for number, names in enumerate(SUPERCLASSES.values()) for name in names}
    return Hierarchy(tuple(SUPERCLASSES), np.array([superclass[name] for name in class_names]))


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ssal" / "cifar100"
