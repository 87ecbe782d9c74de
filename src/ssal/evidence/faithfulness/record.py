"""The checks as plain values for a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ssal.evidence.faithfulness.differences import Difference
from ssal.evidence.faithfulness.findings import findings
from ssal.evidence.faithfulness.results import (
    Areas,
    Cascade,
    Contrast,
    ExplanationChecks,
    PartCheck,
    Subject,
)

_DIGITS = 6


def _round(value: float) -> float:
    return round(value, _DIGITS)


def _rounded(values: Sequence[float]) -> list[float]:
    return [_round(value) for value in values]


def _subject(subject: Subject) -> dict[str, Any]:
    return {"part": subject.name, "kind": subject.kind, "branch": subject.branch}


def _difference(difference: Difference, prefix: str = "") -> dict[str, Any]:
    return {
        f"{prefix}difference": _round(difference.value),
        f"{prefix}interval": _rounded([difference.low, difference.high]),
    }


def _areas(areas: Areas) -> dict[str, Any]:
    means = {"map": _round(areas.map), "random": _round(areas.random), "centre": _round(areas.centre)}
    return means | _difference(areas.over_random) | _difference(areas.over_centre, "centre_")


def _part(part: PartCheck) -> dict[str, Any]:
    return {
        **_subject(part.subject),
        "method": part.method,
        "explains": part.subject.explains,
        "grid": list(part.grid),
        "flat": part.flat,
        "score": _round(part.score),
        "score_empty": _round(part.score_empty),
        "deletion": _areas(part.deletion),
        "insertion": _areas(part.insertion),
        "wrong_group": {
            "map": _round(part.other.map),
            "other": _round(part.other.other),
            **_difference(part.other.difference),
        },
        "curves": {name: _rounded(values) for name, values in asdict(part.curves).items()},
    }


def _cascade(cascade: Cascade) -> dict[str, Any]:
    stages = [
        {"randomised": stage.randomised, "spearman": _round(stage.spearman), "ssim": _round(stage.ssim)}
        for stage in cascade.stages
    ]
    return {**_subject(cascade.subject), "stages": stages, "between_images": _round(cascade.between_images)}


def _contrast(contrast: Contrast) -> dict[str, Any]:
    return {
        "this": _round(contrast.this),
        "other": _round(contrast.other),
        **_difference(contrast.difference),
        "relative_gain": {
            "this": _round(contrast.gain),
            "other": _round(contrast.other_gain),
            **_difference(contrast.gain_difference),
        },
    }


def as_record(checks: ExplanationChecks) -> dict[str, Any]:
    """The checks in plain JSON types, with the findings as sentences.

    A `difference` is above 0 where the map is better; `interval` holds 95 % of its bootstrap distribution
    over images. In `wrong_group`, `other` is the area under deletion by the map of another class or group.
    A `relative_gain` is what the map is better by than random maps, as a share of the probability that is
    lost between the whole image and the baseline.
    """
    against = checks.against
    return {
        "images": checks.images,
        "baseline": checks.baseline,
        "steps": checks.steps,
        "draws": checks.draws,
        "seed": checks.seed,
        "parts": [_part(part) for part in checks.parts],
        "without_map": [_subject(subject) for subject in checks.without_map],
        "randomisation": [_cascade(cascade) for cascade in checks.randomisation],
        "against": None
        if against is None
        else {
            "run": against.run,
            "method": against.method,
            "parts": [
                {
                    **_subject(part.subject),
                    "deletion": _contrast(part.deletion),
                    "insertion": _contrast(part.insertion),
                }
                for part in against.parts
            ],
        },
        "findings": findings(checks),
    }
