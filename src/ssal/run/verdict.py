"""What the figures of a run say, in sentences; where the branches do not help, this says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scipy.stats import binomtest

# A difference is called one if chance alone would bring as large a one in fewer cases than this.
_LEVEL = 0.05
# A gain of less than this share is a little one, however sure.
_NOTABLE = 0.02
# The promise to quote, or the next larger one that can be given.
_QUOTED = 0.02


def verdict_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Say what a run shows, one sentence a finding, from what is in `metrics.json`.

    Findings that were not measured, as in runs of older versions, are left out. A difference counts as one
    where it is beyond chance for test images like these; nothing is said of other seeds.
    """
    lines = [
        _accuracy(metrics),
        _probabilities(metrics),
        error_detection_line(metrics),
        guarantee_line(metrics),
        _severity(metrics),
    ]
    return [line for line in lines if line is not None]


def _accuracy(metrics: Mapping[str, Any]) -> str | None:
    counts = metrics.get("repairs", {}).get("baseline")
    if counts is None:
        return None
    repaired, caused = counts["repaired"], counts["caused"]
    right = f"{metrics['JP']['top1']:.2f} % right against {metrics['baseline']['top1']:.2f} % of the baseline"
    detail = f"it repairs {repaired:,} errors and causes {caused:,}"
    if repaired + caused == 0:
        return f"Joint prediction makes the same errors as the baseline: {right}."
    if binomtest(repaired, repaired + caused).pvalue >= _LEVEL:
        return f"Joint prediction is {right}; {detail}, which may be chance."
    word = "better" if repaired > caused else "worse"
    return f"Joint prediction is {word}: {right}; {detail}."


def _probabilities(metrics: Mapping[str, Any]) -> str | None:
    figures, gains = metrics.get("calibration", {}), metrics.get("likelihood_gain", {})
    other = "TR_scaled" if "TR_scaled" in gains else "TR"
    if other not in gains or other not in figures:
        return None
    gain = gains[other]
    name = "main classifier" if other == "TR" else "main classifier with a fitted temperature"
    shown = f"NLL {figures['JP']['nll']:.3f} against {figures[other]['nll']:.3f} of the {name}"
    if gain["low"] > 0:
        return f"The branches make the probabilities better: {shown}."
    if gain["high"] < 0:
        return f"The branches make the probabilities worse: {shown}."
    return f"The branches do not make the probabilities better: {shown}, which may be chance."


def error_detection_line(metrics: Mapping[str, Any]) -> str | None:
    """Whether the best score of the branches finds errors better than the main classifier's probability."""
    found = metrics.get("selective")
    if not found or "main" not in found["gain"]:
        return None
    best, gain = found["best"], found["gain"]["main"]
    ours, main = found["scores"][best], found["scores"]["main"]
    if ours["auroc"] is None or main["auroc"] is None:
        return "Nothing can be said of error detection: all answers are right, or all are wrong."
    shown = (
        f"AUROC {ours['auroc']:.3f}, area under risk-coverage {ours['aurc']:.4f} ({best}); "
        f"main classifier alone {main['auroc']:.3f}, {main['aurc']:.4f}{_baseline_finds(found)}"
    )
    if gain["high"] < 0:
        return f"The branches make it harder to find errors: {shown}."
    if gain["low"] <= 0:
        return f"The branches do not help to find errors beyond chance: {shown}."
    little = " a little" if gain["mean"] < _NOTABLE * main["aurc"] else ""
    return f"The branches help{little} to find errors: {shown}."


def _baseline_finds(found: Mapping[str, Any]) -> str:
    score, gain = found["scores"].get("baseline"), found["gain"].get("baseline")
    if score is None or gain is None or score["auroc"] is None:
        return ""
    # Its errors are others: the areas compare, which count accuracy as well; the AUROC do not.
    by_chance = gain["low"] <= 0 <= gain["high"]
    word = "which may be chance" if by_chance else f"a {'larger' if gain['low'] > 0 else 'smaller'} area"
    return f"; baseline on its own answers {score['auroc']:.3f}, {score['aurc']:.4f}, {word}"


def guarantee_line(metrics: Mapping[str, Any]) -> str | None:
    """What can be promised, and whether it was kept on the test data."""
    found = metrics.get("selective")
    if not found or not found["guarantee"]:
        return None
    row = quoted_promise(found["guarantee"])
    if row is None:
        if found["smallest_risk"] is None:
            return "No risk can be guaranteed: no held-out image is left to calibrate on."
        images = found["guarantee"][0]["images"]
        return (
            f"With {images:,} calibration images, the smallest error rate that can be guaranteed is "
            f"{100 * found['smallest_risk']:.1f} %."
        )
    text = (
        f"With at most {100 * row['risk']:g} % of answers wrong ({100 * row['confidence']:g} % confidence), "
        f"{100 * row['test_coverage']:.1f} % of the test images are answered{_kept(row)}"
    )
    groups = next(
        (
            entry
            for entry in metrics.get("back_off", {}).get("guarantee", [])
            if entry["risk"] == row["risk"] and entry["possible"]
        ),
        None,
    )
    if groups is None:
        return f"{text}."
    share = 100 * groups["test_coverage"]
    return f"{text}; with groups where the class is unsure, {share:.1f} %{_kept(groups)}."


def quoted_promise(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Of the promises in `metrics.json`, the one that `guarantee_line` is about; None if none is possible."""
    return next((row for row in rows if row["possible"] and row["risk"] >= _QUOTED), None)


def _kept(row: Mapping[str, Any]) -> str:
    if row["holds"] is None:
        return ""
    rate = f"{100 * row['test_risk']:.2f} % of these wrong"
    if row["holds"]:
        return f", {rate}"
    excess = binomtest(row["test_wrong"], row["test_answered"], row["risk"], alternative="greater").pvalue
    return f", {rate}: {'more than promised' if excess < _LEVEL else 'slightly more, which may be chance'}"


def _severity(metrics: Mapping[str, Any]) -> str | None:
    found = metrics.get("severity")
    if not found or found.get("JP") is None or found.get("baseline") is None:
        return None
    shares = [f"{100 * (found[way] - 1):.1f} %" for way in ("JP", "baseline")]
    return (
        f"Of the mistakes of joint prediction, {shares[0]} leave the true superclass; of the baseline's, "
        f"{shares[1]}."
    )
