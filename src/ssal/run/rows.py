"""Predictions as rows: CSV and JSON lines in files, sentences in a terminal."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssal.errors import DataError
from ssal.files import write_text
from ssal.run.decision import Decision
from ssal.run.explained import file_name, write_explanation
from ssal.run.predictor import Prediction, Predictor
from ssal.text import encodable, visible

FORMATS = (".csv", ".jsonl")

# What a spreadsheet takes for the start of a formula; the last four are the wide forms of East Asia.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def as_record(file: Path, result: Prediction | DataError) -> dict[str, Any]:
    """One prediction, or one error, as plain values."""
    name = encodable(str(file))
    if isinstance(result, DataError):
        return {"file": name, "error": encodable(str(result))}
    return {
        "file": name,
        "class": result.class_name,
        "probability": round(result.probability, 6),
        **_answer(result.decision),
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


def _answer(decision: Decision | None) -> dict[str, Any]:
    """What is answered under a promise; nothing where none was asked for."""
    if decision is None:
        return {}
    return {
        "answer": list(decision.answer),
        "answer_tap": decision.tap,
        "abstained": decision.abstained,
    }


def _cell(value: object) -> str:
    """A value as a spreadsheet or a terminal may show it: on one line, and never as a formula."""
    text = "" if value is None else str(value)
    formula = text.startswith(_FORMULA) and not isinstance(value, int | float)
    return visible(f"'{text}" if formula else text, keep="")


def _csv_row(record: dict[str, Any], branches: Sequence[str]) -> dict[str, str]:
    row: dict[str, object] = {key: record.get(key) for key in ("file", "class", "probability")}
    if "answer" in record:
        row["answer"] = " | ".join(record["answer"])
        row["answer_tap"], row["abstained"] = record["answer_tap"], record["abstained"]
    if "explanation" in record:
        row["explanation"] = record["explanation"]
    for place, (name, probability) in enumerate(record.get("top5", []), start=1):
        row[f"top{place}"], row[f"top{place}_probability"] = name, probability
    for name, group in zip(branches, record.get("groups", []), strict=False):
        row[f"{name}_group"], row[f"{name}_probability"] = group["group"], group["probability"]
        row[f"{name}_members"] = " | ".join(group["members"])
        row[f"{name}_agrees"] = str(group["agrees"]).lower()
    row["agreement"], row["error"] = record.get("agreement"), record.get("error")
    return {key: _cell(value) for key, value in row.items()}


def _columns(predictor: Predictor, branches: Sequence[str], *, explained: bool) -> list[str]:
    names = ["file", "class", "probability"]
    if predictor.rule is not None:
        names += ["answer", "answer_tap", "abstained"]
    if explained:
        names.append("explanation")
    for place in range(1, min(5, len(predictor.class_names)) + 1):
        names += [f"top{place}", f"top{place}_probability"]
    for branch in branches:
        names += [f"{branch}_{part}" for part in ("group", "probability", "members", "agrees")]
    return [*names, "agreement", "error"]


def _records(
    predictor: Predictor, files: Sequence[Path], explanations: Path | None
) -> Iterator[dict[str, Any]]:
    taken: set[str] = set()
    for file, result in zip(files, predictor.predict_each(files), strict=True):
        record = as_record(file, result)
        if explanations is not None and isinstance(result, Prediction):
            stem = file_name(file.stem)
            names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
            name = next(name for name in names if name not in taken)
            taken.add(name)
            folder = explanations / name
            write_explanation(predictor, file, folder)
            record["explanation"] = encodable(str(folder / "explain.png"))
        yield record


@dataclass
class Totals:
    """What became of some files.

    Attributes:
        failed: files that could not be read.
        classes: answers that are a class.
        groups: answers that are a group of classes.
        abstained: files that were read and got no answer.
    """

    failed: int = 0
    classes: int = 0
    groups: int = 0
    abstained: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a record."""
        if record["error"] is not None:
            self.failed += 1
        elif record.get("abstained") is not None:
            self.abstained += 1
        elif len(record.get("answer", ())) > 1:
            self.groups += 1
        else:
            self.classes += 1


def write_predictions(
    predictor: Predictor, files: Sequence[Path], out: Path, *, explanations: Path | None = None
) -> Totals:
    """Write a row for each file to `out`, .csv or .jsonl, whole or not at all.

    Args:
        predictor: with a rule, rows hold what it answers.
        files: image files; one that cannot be read gets a row with the error.
        out: the file to write.
        explanations: folder for the evidence of each prediction; none is made without it.

    Returns:
        What became of the files.
    """
    records = list(_records(predictor, files, explanations))
    if out.suffix == ".jsonl":
        text = "".join(json.dumps(record) + "\n" for record in records)
    else:
        count = 0 if predictor.mode == "main" else len(predictor.saved.model.specs)
        branches = [f"branch{number + 1}" for number in range(count)]
        buffer = io.StringIO()
        columns = _columns(predictor, branches, explained=explanations is not None)
        writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(_csv_row(record, branches) for record in records)
        text = buffer.getvalue()
    write_text(out, text)
    totals = Totals()
    for record in records:
        totals.add(record)
    return totals


def _sentence(record: dict[str, Any]) -> str:
    file = visible(record["file"], keep="")
    if record["error"] is not None:
        return f"{file}: {visible(record['error'], keep='')}"
    best = f"{visible(record['class'], keep='')}  {100 * record['probability']:.1f} %"
    lines = [f"{file}: {_answer_in_words(record, best)}"]
    for group in record["groups"]:
        word = "agrees" if group["agrees"] else "differs"
        members = _members(group["members"])
        lines.append(f"    {group['tap']:16} {word:8} {100 * group['probability']:5.1f} %  {members}")
    if "explanation" in record:
        lines.append(f"    evidence in {visible(record['explanation'], keep='')}")
    return "\n".join(lines)


def _members(names: Sequence[str]) -> str:
    shown = [visible(name, keep="") for name in names[:8]]
    return ", ".join(shown) + (" …" if len(names) > 8 else "")


def _answer_in_words(record: dict[str, Any], best: str) -> str:
    if record.get("abstained") is not None:
        return f"no answer: {visible(record['abstained'], keep='')}; most probable: {best}"
    if len(record.get("answer", ())) > 1:
        return f"one of {_members(record['answer'])}; most probable: {best}"
    return best


def print_predictions(
    predictor: Predictor,
    files: Sequence[Path],
    say: Callable[[str], None],
    *,
    as_text: bool,
    explanations: Path | None = None,
) -> Totals:
    """Say each prediction as soon as it is known: sentences for a person, else JSON lines.

    Returns:
        What became of the files.
    """
    totals = Totals()
    for record in _records(predictor, files, explanations):
        say(_sentence(record) if as_text else json.dumps(record))
        totals.add(record)
    return totals
