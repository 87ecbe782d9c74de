"""The evidence of one prediction, ready for the page: maps, groups, and the sum that decided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ssal.evidence import Evidence, Part
from ssal.evidence.overlay import overlay
from ssal.evidence.table import verdict
from ssal.report.budget import Budget
from ssal.report.names import class_name, class_names, clipped
from ssal.report.thumbnails import Thumbnail, picture

_SIDE = 132
_BAR = 100


@dataclass(frozen=True)
class Bar:
    """A difference as a bar around the middle of `_BAR` units: where it starts and how long it is."""

    start: float
    length: float
    good: bool


@dataclass(frozen=True)
class ShareRow:
    """What a fused branch read in one place: its name, what it adds to the lead, and that drawn."""

    name: str
    lead: float
    bar: Bar


@dataclass(frozen=True)
class PartRow:
    """What one part said.

    Attributes:
        name: tap, or `main classifier`.
        branch: whether it is a branch.
        exponent: η.
        map: the map over the image.
        method: how the map was made.
        answer: the predicted class, or the members of the predicted group.
        probability: of that, 0–1.
        agrees: whether the winner is in it.
        terms: η·log p of the winner and of its rival.
        lead: difference of the two.
        bar: the difference, drawn.
        shares: what it adds up from, where that is known.
    """

    name: str
    branch: bool
    exponent: float
    map: Thumbnail | None
    method: str | None
    answer: Markup
    probability: float
    agrees: bool
    terms: tuple[float, float]
    lead: float
    bar: Bar
    shares: list[ShareRow]


@dataclass(frozen=True)
class EvidenceCard:
    """A prediction taken apart: the winner against one rival."""

    winner: Markup
    rival: Markup
    parts: list[PartRow]
    lead: float
    bar: Bar
    verdict: list[str]


def rival_of(evidence: Evidence, target: int) -> int:
    """Place of the candidate to compare the winner with: the true class if it lost, else the runner-up."""
    lost = target != evidence.winner and target in evidence.candidates
    return evidence.candidates.index(target) if lost else 1


def evidence_card(evidence: Evidence, pixels: NDArray[np.uint8], target: int, budget: Budget) -> EvidenceCard:
    """Prepare the evidence of a prediction.

    Args:
        evidence: the evidence.
        pixels: what the network saw, uint8 [H, W, 1] or [H, W, 3].
        target: the true class.
        budget: what is left for pictures.
    """
    rival = rival_of(evidence, target)
    leads = [part.leads[rival] for part in evidence.parts]
    leads += [share.leads[rival] for part in evidence.parts for share in part.shares]
    total = evidence.log_probabilities[0] - evidence.log_probabilities[rival]
    longest = max(*(abs(lead) for lead in leads), abs(total), 1e-9)
    return EvidenceCard(
        winner=class_name(evidence.class_name, 24),
        rival=class_name(evidence.class_names[evidence.candidates[rival]], 24),
        parts=[_row(evidence, part, rival, longest, pixels, budget) for part in evidence.parts],
        lead=total,
        bar=_bar(total / longest),
        verdict=[clipped(sentence, 240) for sentence in verdict(evidence)],
    )


def _bar(length: float) -> Bar:
    half = _BAR / 2
    return Bar(half + min(0.0, length) * half, abs(length) * half, length >= 0)


def _row(
    evidence: Evidence, part: Part, rival: int, longest: float, pixels: NDArray[np.uint8], budget: Budget
) -> PartRow:
    members = sorted(part.members, key=lambda member: member != evidence.winner)
    heat = None if part.map is None else picture(overlay(pixels, part.map), _SIDE, budget)
    return PartRow(
        name=clipped(part.name, 24),
        branch=part.tap is not None,
        exponent=part.exponent,
        map=heat,
        method=part.method,
        answer=class_names(evidence.names(tuple(members)), 7, 24),
        probability=part.probability,
        agrees=part.agrees,
        terms=(part.terms[0], part.terms[rival]),
        lead=part.leads[rival],
        bar=_bar(part.leads[rival] / longest),
        shares=[
            ShareRow(clipped(share.name, 24), share.leads[rival], _bar(share.leads[rival] / longest))
            for share in part.shares
        ],
    )
