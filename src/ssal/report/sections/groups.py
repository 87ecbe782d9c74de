"""The groups of look-alike classes of each branch, as cards with a sample of each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ssal.confusion import Confusion
from ssal.confusion.matrix import normalise_rows
from ssal.grouping import Grouping
from ssal.grouping.objective import inside_by_group
from ssal.report.budget import Budget
from ssal.report.images import Gallery
from ssal.report.names import class_name
from ssal.report.predictions import Predictions
from ssal.report.reading import Record
from ssal.report.section import Section
from ssal.report.sections.confusion import chance_share
from ssal.report.thumbnails import Thumbnail, thumbnail

_CARDS, _SPARE = 9, 3
_MORE_CARDS = 60
_SAMPLES = 6
_SIDE = 72
# Beyond that many names a list is read by nobody; the run has all of them in its files.
_NAMES = 1500


@dataclass(frozen=True)
class Member:
    """A class of a group, with a sample of it where there is one."""

    name: Markup
    image: Thumbnail | None


@dataclass(frozen=True)
class Card:
    """A group: its classes, its share of the confusion and how often it was recognised, both 0–1."""

    number: int
    members: list[Member]
    more: int
    share: float | None
    right: float | None


@dataclass(frozen=True)
class BranchGroups:
    """The groups of one branch, those with the largest share of the confusion first."""

    tap: str
    num_groups: int
    sizes: str
    identity: bool
    share: float | None
    chance: float
    cards: list[Card]
    more: list[Card]
    names: list[tuple[int, list[Markup]]]
    left: int


def samples(predictions: Predictions) -> dict[int, int]:
    """Of each class the number of the test sample that the model is right about and most sure of."""
    right = predictions.right("JP")
    order = np.lexsort((-predictions.probabilities["JP"], ~right))
    classes, first = np.unique(predictions.target[order], return_index=True)
    return dict(zip(classes.tolist(), predictions.index[order][first].tolist(), strict=True))


def _group_shares(confusion: Confusion | None, grouping: Grouping) -> NDArray[np.float64] | None:
    if confusion is None:
        return None
    rates = normalise_rows(confusion)
    total = float(rates.sum())
    shares = inside_by_group(rates, grouping.labels, grouping.num_groups)
    return shares / total if total else shares


def _group_accuracy(
    predictions: Predictions | None, grouping: Grouping, number: int
) -> NDArray[np.float64] | None:
    if predictions is None or number >= len(predictions.groups):
        return None
    true = grouping.labels[predictions.target]
    right = predictions.groups[number] == true
    counts = np.bincount(true, minlength=grouping.num_groups)
    hits = np.bincount(true, weights=right, minlength=grouping.num_groups)
    return np.divide(hits, counts, out=np.full(len(counts), np.nan), where=counts > 0)


class _Cards:
    """Makes cards; a sample is read once, however many branches show it."""

    def __init__(self, record: Record, gallery: Gallery, budget: Budget) -> None:
        self._names = record.class_names
        self._gallery = gallery
        self._budget = budget
        self._samples = samples(record.predictions) if record.predictions else {}
        self._pixels: dict[int, NDArray[np.uint8] | None] = {}

    def _image(self, index: int) -> Thumbnail | None:
        if index not in self._samples:
            return None
        if index not in self._pixels:
            self._pixels[index] = self._gallery.pixels(self._samples[index])
        pixels = self._pixels[index]
        return None if pixels is None else thumbnail(pixels, _SIDE, self._budget)

    def make(self, number: int, classes: list[int], share: float | None, right: float | None) -> Card:
        members = [
            Member(class_name(self._names[index], 40), self._image(index)) for index in classes[:_SAMPLES]
        ]
        right = None if right is None or np.isnan(right) else right
        return Card(number, members, len(classes) - len(members), share, right)


def _branch(name: str, number: int, grouping: Grouping, record: Record, cards: _Cards) -> BranchGroups:
    shares = _group_shares(record.confusion, grouping)
    right = _group_accuracy(record.predictions, grouping, number)
    identity = grouping.is_identity
    order = range(grouping.num_groups) if shares is None else np.argsort(-shares, kind="stable").tolist()
    made = [
        cards.make(
            group,
            grouping.members(group).tolist(),
            None if shares is None else float(shares[group]),
            None if right is None else float(right[group]),
        )
        for group in ([] if identity else order[: _CARDS + _MORE_CARDS])
    ]
    # A handful more is not worth a click.
    shown = len(made) if len(made) <= _CARDS + _SPARE else _CARDS
    names: list[tuple[int, list[Markup]]] = []
    left = _NAMES
    for group in [] if identity else order[_CARDS + _MORE_CARDS :]:
        members = [class_name(record.class_names[index], 40) for index in grouping.members(group)]
        left -= len(members)
        if left < 0:
            break
        names.append((group, members))
    low, high = int(grouping.sizes.min()), int(grouping.sizes.max())
    return BranchGroups(
        tap=name,
        num_groups=grouping.num_groups,
        sizes=f"{low}" if low == high else f"{low} or {high}" if high == low + 1 else f"{low} to {high}",
        identity=identity,
        share=None if shares is None else 100 * float(shares.sum()),
        chance=100 * chance_share(grouping),
        cards=made[:shown],
        more=made[shown:],
        names=names,
        left=0 if identity else grouping.num_groups - len(made) - len(names),
    )


def groups(record: Record, gallery: Gallery, budget: Budget) -> Section | None:
    """The section of groups; None if they cannot be read."""
    if not record.groupings:
        return None
    cards = _Cards(record, gallery, budget)
    branches = [
        _branch(name, number, grouping, record, cards)
        for number, (name, grouping) in enumerate(zip(record.branch_names, record.groupings, strict=False))
    ]
    return Section(
        "groups",
        "Groups of look-alike classes",
        "Groups",
        {"branches": branches, "summed": any(record.summed)},
    )
