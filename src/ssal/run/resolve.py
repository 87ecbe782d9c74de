"""Settings that depend on the data, made definite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssal.config import Settings
from ssal.data import Hierarchy
from ssal.errors import InputError
from ssal.grouping import Grouping, group_classes

# What a set that is small enough for a first look is trained with on a CPU, where nothing else is asked for.
_EPOCHS = {"digits": 10, "glyphs": 8, "cifar100": 40}
_WIDTH = {"digits": 16, "glyphs": 16}
_OTHER_EPOCHS = 40
# 3 GB for the sums, as much again for the mean.
_DENSE_LIMIT = 20_000


def with_data_defaults(settings: Settings, model_takes_width: bool) -> Settings:
    """Fill in epochs and width, as the named data set asks, where they were left open."""
    filled: dict[str, object] = {}
    if settings.epochs is None:
        filled["epochs"] = _EPOCHS.get(settings.data, _OTHER_EPOCHS)
    if settings.width is None and model_takes_width and settings.data in _WIDTH:
        filled["width"] = _WIDTH[settings.data]
    return settings.model_copy(update=filled)


def default_groups(num_classes: int) -> tuple[int | str, ...]:
    """Two branches for the classes and C/5 and C/2 groups of them, one for the classes, one that reads all.

    >>> default_groups(100), default_groups(10), default_groups(3)
    (('20+all', '50+all', 'all', 'fused'), ('2+all', '5+all', 'all', 'fused'), ('all', 'fused'))
    """
    if num_classes < 4:
        return ("all", "fused")
    counts = {max(2, min(num_classes // 2, round(num_classes / part))) for part in (5, 2)}
    return (*(f"{count}+all" for count in sorted(counts)), "all", "fused")


def gathers_groups(settings: Settings, items: Sequence[int | str]) -> bool:
    """Whether groups are derived during the training of the branches, from what it confuses so far."""
    derived = settings.method != "random" and any(isinstance(item, int) for item in items)
    return derived and settings.groups_from == "training"


def _allowed(num_classes: int) -> str:
    return f"2 to {num_classes // 2} groups, or 'all'" if num_classes >= 4 else "'all' only"


def check_groups(
    items: Sequence[int | str], class_names: Sequence[str], hierarchy: Hierarchy | None = None
) -> None:
    """Check the numbers of groups before anything is trained.

    Raises:
        InputError: a number is outside 2 … C/2, a file is for other classes, or there are no superclasses.
    """
    num_classes = len(class_names)
    for item in items:
        if isinstance(item, int) and not 2 <= item <= num_classes / 2:
            raise InputError(
                f"{item} groups asked for, but {num_classes} classes allow {_allowed(num_classes)}"
            )
        if isinstance(item, str):
            given_groups(item, class_names, hierarchy)


def check_confusion(settings: Settings, items: Sequence[int | str], num_classes: int) -> None:
    """Check that the confusion asked for fits into memory, before anything is trained for it.

    Raises:
        InputError: it would be dense, over too many classes.
    """
    dense = gathers_groups(settings, items) or settings.confusion == "soft"
    if dense and num_classes > _DENSE_LIMIT:
        raise InputError(
            f"soft confusion, or that of the training itself, holds all pairs of classes, and is for up to "
            f"{_DENSE_LIMIT:,} classes; for {num_classes:,} use --groups-from baseline --confusion hard"
        )


def _from_file(path: Path, class_names: Sequence[str]) -> Grouping:
    """The grouping of a file for the classes of the data, matched by name where the file has names."""
    grouping = Grouping.load(path)
    if len(grouping.labels) != len(class_names):
        raise InputError(f"{path} groups {len(grouping.labels)} classes, the data have {len(class_names)}")
    if grouping.num_groups < 2:
        raise InputError(f"{path} has all classes in one group; a branch needs at least 2 groups")
    places = {name: index for index, name in enumerate(grouping.class_names or class_names)}
    if unknown := sorted(places.keys() - set(class_names)):
        raise InputError(f"{path} groups other classes: the data have no {unknown[0]!r}")
    if missing := sorted(set(class_names) - places.keys()):
        raise InputError(f"{path} groups other classes: it has no {missing[0]!r}")
    return Grouping.from_labels([grouping.labels[places[name]] for name in class_names], class_names)


def given_groups(item: str, class_names: Sequence[str], hierarchy: Hierarchy | None) -> Grouping:
    """A grouping that no confusion is needed for.

    Args:
        item: 'all' or 'fused' for the classes themselves, 'superclasses', or a file.
        class_names: names of the C classes.
        hierarchy: the superclasses that the data come with.

    Raises:
        InputError: the data have no superclasses, or a single one; or the file is for other classes.
    """
    if item in ("all", "fused"):
        return Grouping.identity(len(class_names), class_names=class_names)
    if item != "superclasses":
        return _from_file(Path(item), class_names)
    # A superclass of which no class is left would be an empty group.
    used, labels = (None, None) if hierarchy is None else np.unique(hierarchy.of_class, return_inverse=True)
    if used is None or len(used) < 2:
        raise InputError(
            "the data come without superclasses, or with a single one; give numbers of groups, or a file"
        )
    return Grouping.from_labels(labels, class_names)


def make_groupings(
    items: Sequence[int | str],
    confusion: object,
    class_names: Sequence[str],
    settings: Settings,
    hierarchy: Hierarchy | None = None,
) -> tuple[Grouping, ...]:
    """One grouping for each item: derived from the confusion, the classes themselves, or given.

    Args:
        items: numbers of groups, 'all', 'superclasses', or paths.
        confusion: [C, C] counts or soft confusion, dense or sparse.
        class_names: names of the C classes.
        settings: criterion, method and seed.
        hierarchy: the superclasses that the data come with.
    """
    groupings: list[Grouping] = []
    for item in items:
        if isinstance(item, str):
            groupings.append(given_groups(item, class_names, hierarchy))
        else:
            groupings.append(
                group_classes(
                    confusion,
                    item,
                    criterion=settings.criterion,
                    method=settings.method,
                    seed=settings.seed,
                    class_names=class_names,
                )
            )
    return tuple(groupings)
