"""Predictions as rows: CSV and JSON lines in files, sentences in a terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ssal.errors import DataError
from ssal.files import write_text
from ssal.run.predictor import Prediction, Predictor

FORMATS = (".csv", ".jsonl")

# What a spreadsheet takes for the start of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_record(file: Path, result: Prediction | DataError) -> dict[str, Any]:
    """One prediction, or one error, as plain values."""
    if isinstance(result, DataError):
        return {"file": str(file), "error": str(result)}
    return {
        "file": str(file),
        "class": result.class_name,
        "probability": round(result.probability, 6),
        "top5": [[name, round(probability, 6)] for name, probability in result.top],
        "groups": [
            {
                "tap": group.tap,
                "group": group.group,
                "members": list(group.members),
                "probability": round(group.probability, 6),
                "agrees": group.agrees,
            }
            for group in result.groups
        ],
        "agreement": result.agreement,
        "error": None,
    }


def _cell(value: object) -> str:
    """A value as a spreadsheet may show it: never as a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not isinstance(value, int | float) else text


def _csv_row(record: dict[str, Any], branches: Sequence[str]) -> dict[str, str]:
    row: dict[str, object] = {key: record.get(key) for key in ("file", "class", "probability")}
    for place, (name, probability) in enumerate(record.get("top5", []), start=1):
        row[f"top{place}"], row[f"top{place}_probability"] = name, probability
    for name, group in zip(branches, record.get("groups", []), strict=False):
        row[f"{name}_group"], row[f"{name}_probability"] = group["group"], group["probability"]
        row[f"{name}_members"] = " | ".join(group["members"])
        row[f"{name}_agrees"] = str(group["agrees"]).lower()
    row["agreement"], row["error"] = record.get("agreement"), record.get("error")
    return {key: _cell(value) for key, value in row.items()}


def _columns(predictor: Predictor, branches: Sequence[str]) -> list[str]:
    names = ["file", "class", "probability"]
    for place in range(1, min(5, len(predictor.class_names)) + 1):
        names += [f"top{place}", f"top{place}_probability"]
    for branch in branches:
        names += [f"{branch}_{part}" for part in ("group", "probability", "members", "agrees")]
    return [*names, "agreement", "error"]


def _records(predictor: Predictor, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for file, result in zip(files, predictor.predict_each(files), strict=True):
        yield as_record(file, result)


def write_predictions(predictor: Predictor, files: Sequence[Path], out: Path) -> int:
    """Write a row for each file to `out`, .csv or .jsonl, whole or not at all.

    Returns:
        Number of files that could not be read; their rows hold the error.
    """
    records = list(_records(predictor, files))
    if out.suffix == ".jsonl":
        text = "".join(json.dumps(record) + "\n" for record in records)
    else:
        count = 0 if predictor.mode == "main" else len(predictor.saved.model.specs)
        branches = [f"branch{number + 1}" for number in range(count)]
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, _columns(predictor, branches), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(_csv_row(record, branches) for record in records)
        text = buffer.getvalue()
    write_text(out, text)
    return sum(record["error"] is not None for record in records)


def _sentence(record: dict[str, Any]) -> str:
    if record["error"] is not None:
        return f"{record['file']}: {record['error']}"
    lines = [f"{record['file']}: {record['class']}  {100 * record['probability']:.1f} %"]
    for group in record["groups"]:
        word = "agrees" if group["agrees"] else "differs"
        members = ", ".join(group["members"][:8]) + (" …" if len(group["members"]) > 8 else "")
        lines.append(f"    {group['tap']:16} {word:8} {100 * group['probability']:5.1f} %  {members}")
    return "\n".join(lines)


def print_predictions(
    predictor: Predictor, files: Sequence[Path], say: Callable[[str], None], *, as_text: bool
) -> int:
    """Say each prediction as soon as it is known: sentences for a person, else JSON lines.

    Returns:
        Number of files that could not be read.
    """
    failures = 0
    for record in _records(predictor, files):
        say(_sentence(record) if as_text else json.dumps(record))
        failures += record["error"] is not None
    return failures
