"""Calibration, error detection and promises of a run as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssal.selective import score_words

_WAYS = {
    "baseline": "baseline",
    "TR": "TR",
    "TR_scaled": "TR, with a temperature",
    "JP1": "JP, all exponents 1",
    "JP": "JP",
    "LC": "LC",
}


def format_calibration(metrics: Mapping[str, Any]) -> str:
    """NLL, ECE and Brier score of each way."""
    header = f"{'calibration':26}{'NLL':>8}{'ECE %':>8}{'Brier':>8}"
    rows = [
        f"{words:26}{found['nll']:8.3f}{found['ece']:8.2f}{found['brier']:8.4f}"
        for way, words in _WAYS.items()
        if (found := metrics["calibration"].get(way)) is not None
    ]
    return "\n".join([header, "─" * len(header), *rows])


def format_scores(metrics: Mapping[str, Any]) -> str:
    """How well each score tells right answers from wrong ones; a star marks the score that decides."""
    found = metrics["selective"]
    header = f"{'error detection':72}{'AUROC':>8}{'AURC':>8}"
    rows: list[str] = []
    for name, score in found["scores"].items():
        auroc = "" if score["auroc"] is None else f"{score['auroc']:.4f}"
        mark = " *" if name == found["best"] else ""
        rows.append(f"{score_words(name) + mark:72}{auroc:>8}{score['aurc']:8.4f}")
    note = "baseline and TR are judged by their own answers, all others by those of JP"
    return "\n".join([header, "─" * len(header), *rows, note])


def format_promises(metrics: Mapping[str, Any]) -> str:
    """What can be promised of the answers, and what came of it; empty for a run without calibration."""
    promises, groups = metrics["selective"]["guarantee"], metrics["back_off"]["guarantee"]
    if not promises:
        return "no promise on errors: the run has no calibration images; one of a newer training has"
    first = promises[0]
    title = f"at most … of the answers wrong ({100 * first['confidence']:g} %, {first['images']:,} images)"
    header = f"{title:48}{'answered %':>12}{'wrong %':>9}{'classes':>9}  kept"
    rows: list[str] = []
    for name, entries in (("class", promises), ("class or group", groups)):
        rows += [_promise(f"{100 * row['risk']:>4g} %  {name}", row) for row in entries]
    return "\n".join([header, "─" * len(header), *rows])


def _promise(name: str, row: Mapping[str, Any]) -> str:
    if not row["possible"]:
        return f"{name:48}{'cannot be promised':>12}"
    risk = "" if row["test_risk"] is None else f"{100 * row['test_risk']:.2f}"
    size = "" if row["test_size"] is None else f"{row['test_size']:.2f}"
    kept = {True: "yes", False: "NO", None: ""}[row["holds"]]
    return f"{name:48}{100 * row['test_coverage']:12.1f}{risk:>9}{size:>9}  {kept}"


def format_severity(metrics: Mapping[str, Any]) -> str:
    """Mean severity of the mistakes of each way; empty without a hierarchy."""
    found = metrics["severity"]
    if found is None:
        return ""
    values = [
        f"{way} {found[way]:.3f}" for way in ("baseline", "TR", "JP", "LC") if found.get(way) is not None
    ]
    return (
        f"mean severity of mistakes over {found['superclasses']} superclasses (1 inside the true one, "
        f"2 outside): {', '.join(values)}"
    )
