"""Files of an explanation: numbers as JSON, a picture of each part, and one of all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ssal.evidence import Evidence, Part
from ssal.evidence.figure import draw_evidence
from ssal.evidence.overlay import draw_overlay
from ssal.files import write_bytes, write_json
from ssal.run.predictor import Predictor
from ssal.text import encodable


def file_name(text: str) -> str:
    """A text as the name of a file or folder: no separators, no hidden or leading dots, not too long.

    >>> file_name("../layer1.0:conv")
    '_layer1.0_conv'
    """
    clean = re.sub(r"[^\w.-]+", "_", text).lstrip(".-")
    return clean[:50] or "_"


def _candidates(evidence: Evidence) -> list[dict[str, Any]]:
    rows = zip(evidence.candidates, evidence.log_probabilities, evidence.probabilities, strict=True)
    return [
        {
            "class": evidence.class_names[index],
            "sum": log_probability + evidence.log_normaliser,
            "log_probability": log_probability,
            "probability": probability,
        }
        for index, log_probability, probability in rows
    ]


def _part(evidence: Evidence, part: Part, picture: str | None) -> dict[str, Any]:
    names = evidence.names(evidence.candidates)
    return {
        "part": part.name,
        "tap": part.tap,
        "exponent": part.exponent,
        "terms": [{"class": name, "term": term} for name, term in zip(names, part.terms, strict=True)],
        "margin": part.margin,
        "without": list(evidence.names(part.without)),
        "group": None if part.tap is None else part.predicted,
        "members": list(evidence.names(part.members)),
        "tells_classes": part.tells_classes,
        "probability": part.probability,
        "agrees": part.agrees,
        "shares": [
            {
                "from": share.name,
                "part": share.part,
                "leads": [
                    {"class": name, "lead": lead} for name, lead in zip(names, share.leads, strict=True)
                ],
            }
            for share in part.shares
        ],
        "map": None if picture is None else {"method": part.method, "file": picture},
    }


def as_record(evidence: Evidence, pictures: list[str | None]) -> dict[str, Any]:
    """Evidence as plain values.

    Args:
        evidence: the evidence.
        pictures: file name of the map of each part, or None.
    """
    return {
        "class": evidence.class_name,
        "probability": evidence.probability,
        "candidates": _candidates(evidence),
        "log_normaliser": evidence.log_normaliser,
        "margin": evidence.margin,
        "decided_by": evidence.decided_by.name,
        "decisive": [part.name for part in evidence.decisive],
        "agreement": evidence.agreement,
        "parts": [
            _part(evidence, part, picture) for part, picture in zip(evidence.parts, pictures, strict=True)
        ],
    }


def write_explanation(predictor: Predictor, image: Path, folder: Path) -> Evidence:
    """Explain the prediction of an image file, and write evidence.json and the pictures to `folder`.

    explain.png shows everything at a glance; each part that has a map gets a picture of its own.

    Raises:
        DataError: the image cannot be read.
        OSError: a file cannot be written.
    """
    pixels = predictor.preprocess.pixels(image)
    evidence = predictor.explain(image)
    pictures: list[str | None] = []
    for number, part in enumerate(evidence.parts):
        if part.map is None:
            pictures.append(None)
            continue
        picture = f"{number}-{file_name(part.tap or 'main')}.png"
        write_bytes(folder / picture, draw_overlay(pixels, part.map))
        pictures.append(picture)
    write_bytes(folder / "explain.png", draw_evidence(evidence, pixels))
    write_json(folder / "evidence.json", {"file": encodable(str(image))} | as_record(evidence, pictures))
    return evidence
