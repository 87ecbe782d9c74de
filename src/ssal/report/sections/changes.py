"""Which errors the branches repaired and which they caused: counts, images, and the evidence of some."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ssal.report.budget import Budget
from ssal.report.evidence_card import EvidenceCard, evidence_card
from ssal.report.images import Gallery
from ssal.report.names import class_name
from ssal.report.paired import Paired, compare_paired
from ssal.report.predictions import Predictions
from ssal.report.reading import Record
from ssal.report.section import Section
from ssal.report.thumbnails import Thumbnail, thumbnail

_EXPLAINED = 3
# The first is opened over the whole width, the others fill rows of three.
_SHOWN, _AT_ONCE = 13, 7
_SIDE = 96


@dataclass(frozen=True)
class Answer:
    """What one way of prediction said of an image."""

    way: str
    name: Markup
    probability: float
    right: bool


@dataclass(frozen=True)
class Change:
    """A test image of which the answer became right or wrong."""

    image: Thumbnail | None
    number: int
    true: Markup
    answers: list[Answer]
    by_vote: bool
    evidence: EvidenceCard | None


@dataclass(frozen=True)
class Step:
    """A comparison of two ways of prediction."""

    first: str
    second: str
    meaning: str
    paired: Paired


_STEPS = (
    ("baseline", "TR", "training with branches"),
    ("TR", "JP", "the vote of the branches on the same network"),
    ("baseline", "JP", "both together"),
)


def steps(predictions: Predictions) -> list[Step]:
    """What training with branches changed, what their vote changed, and both."""
    return [
        Step(first, second, meaning, compare_paired(predictions.right(first), predictions.right(second)))
        for first, second, meaning in _STEPS
        if first in predictions.answers
    ]


def choose(predictions: Predictions, *, repaired: bool, count: int) -> list[tuple[int, bool]]:
    """Rows of samples worth showing, each with whether the vote of the branches made the change.

    Changes by the vote come first, then those since the baseline; within these the surest. Each pair of true
    and wrong class comes once before any comes twice.
    """
    joint = predictions.right("JP")
    voted = ~predictions.right("TR") & joint if repaired else predictions.right("TR") & ~joint
    changed = voted.copy()
    if "baseline" in predictions.answers:
        base = predictions.right("baseline")
        changed |= ~base & joint if repaired else base & ~joint
    rows = np.flatnonzero(changed)
    before = predictions.answers["baseline" if "baseline" in predictions.answers else "TR"]
    before = np.where(voted, predictions.answers["TR"], before)
    wrong = before if repaired else predictions.answers["JP"]
    pairs = predictions.target[rows] * (int(wrong.max()) + 1) + wrong[rows]
    sure = np.lexsort((rows, -predictions.probabilities["JP"][rows], ~voted[rows]))
    order = sure[np.argsort(_turn(pairs[sure]), kind="stable")]
    # Turns apart, what the vote did stays in front.
    order = order[np.argsort(~voted[rows[order]], kind="stable")]
    return [(int(row), bool(voted[row])) for row in rows[order][:count]]


def _turn(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each value how often it came before, [N]."""
    seen: dict[int, int] = {}
    turns = np.zeros(len(values), dtype=np.int64)
    for place, value in enumerate(values.tolist()):
        turns[place] = seen.get(value, 0)
        seen[value] = seen.get(value, 0) + 1
    return turns


def _change(
    row: int,
    by_vote: bool,
    explained: bool,
    record: Record,
    predictions: Predictions,
    tools: tuple[Gallery, Budget],
) -> Change:
    gallery, budget = tools
    names, number = record.class_names, int(predictions.index[row])
    answers = [
        Answer(
            way,
            class_name(names[predictions.answers[way][row]], 32),
            float(predictions.probabilities[way][row]),
            bool(predictions.answers[way][row] == predictions.target[row]),
        )
        for way in ("baseline", "TR", "JP")
        if way in predictions.answers
    ]
    pixels = gallery.pixels(number)
    image = None if pixels is None else thumbnail(pixels, _SIDE, budget)
    found = gallery.explain(number) if explained and image is not None else None
    card = None
    if found is not None and pixels is not None:
        card = evidence_card(found, pixels, int(predictions.target[row]), budget)
    true = class_name(names[predictions.target[row]], 32)
    return Change(image, number, true, answers, by_vote, card)


def changes(record: Record, gallery: Gallery, budget: Budget) -> Section | None:
    """The section on changed answers; None without predictions."""
    predictions = record.predictions
    if predictions is None:
        return None
    shown: dict[str, list[Change]] = {}
    for kind in ("repaired", "caused"):
        chosen = choose(predictions, repaired=kind == "repaired", count=_SHOWN)
        shown[kind] = [
            _change(row, by_vote, place < _EXPLAINED, record, predictions, (gallery, budget))
            for place, (row, by_vote) in enumerate(chosen)
        ]
    return Section(
        "changes",
        "What the branches repaired, and what they broke",
        "Changes",
        {
            "steps": steps(predictions),
            "kinds": shown,
            "at_once": _AT_ONCE,
        },
    )
