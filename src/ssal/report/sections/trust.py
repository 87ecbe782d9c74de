"""Can the probabilities be trusted: reliability, what finds the errors, and what can be promised."""

from __future__ import annotations

from dataclasses import dataclass

from ssal.metrics import area_under_risk_coverage, error_detection_auroc, risk_coverage
from ssal.report.names import clipped
from ssal.report.reading import Record
from ssal.report.schema import Calibration, Promise, RiskCoverage, Score
from ssal.report.section import Section
from ssal.report.sections.abstaining import answer_size_chart, back_off_chart, risk_chart
from ssal.report.sections.reliability import reliability, reliability_chart
from ssal.selective import score_words

_LARGEST_PROBABILITY = ("baseline", "TR", "JP", "LC")


@dataclass(frozen=True)
class ScoreRow:
    """How well a score tells right answers from wrong ones, and whose answers."""

    name: str
    of: str
    auroc: float | None
    aurc: float | None
    best: bool


@dataclass(frozen=True)
class PromiseRow:
    """A promise on the error rate, for answers of one class and for answers that may be a group."""

    risk: float
    kind: str
    promise: Promise


def _calibration(record: Record) -> dict[str, Calibration]:
    """As measured, or else from the predictions of the run."""
    if record.calibration:
        return record.calibration
    predictions = record.predictions
    if predictions is None:
        return {}
    return {
        way: Calibration(
            nll=summary.nll,
            ece=summary.ece,
            reliability=reliability(predictions.probabilities[way], predictions.right(way)),
        )
        for way, summary in record.metrics.ways.items()
        if way in predictions.answers
    }


def _scores(record: Record) -> dict[str, Score]:
    """As measured, or else the largest probability of each way of prediction."""
    if record.selective is not None and record.selective.scores:
        return record.selective.scores
    predictions = record.predictions
    if predictions is None:
        return {}
    found: dict[str, Score] = {}
    for way in _LARGEST_PROBABILITY:
        if way not in predictions.answers:
            continue
        right, sure = predictions.right(way), predictions.probabilities[way]
        coverage, risk = risk_coverage(sure, right)
        one_sided = bool(right.all() or not right.any())
        found[way] = Score(
            of=way,
            auroc=None if one_sided else error_detection_auroc(sure, right),
            aurc=area_under_risk_coverage(sure, right),
            risk_coverage=RiskCoverage(coverage=coverage.tolist(), risk=risk.tolist()),
        )
    return found


def _promises(record: Record) -> list[PromiseRow]:
    selective, back_off = record.selective, record.back_off
    classes = [] if selective is None else selective.guarantee
    groups = [] if back_off is None else back_off.guarantee
    rows = [PromiseRow(row.risk, "a class", row) for row in classes]
    rows += [PromiseRow(row.risk, "a class or a group", row) for row in groups]
    return sorted(rows, key=lambda row: row.risk)


def _impossible(rows: list[PromiseRow]) -> dict[str, list[float]]:
    """The risks that cannot be promised: at all, or of one kind of answers only."""
    kinds = {row.kind for row in rows}
    found: dict[str, list[float]] = {}
    for risk in dict.fromkeys(row.risk for row in rows):
        refused = {row.kind for row in rows if row.risk == risk and not row.promise.possible}
        if refused:
            found.setdefault(
                "at all" if refused == kinds else f"where each answer is {min(refused)}", []
            ).append(risk)
    return found


def trust(record: Record) -> Section | None:
    """The section on probabilities and abstaining; None if there is nothing to show."""
    scores = _scores(record)
    charts = [
        chart
        for number, (way, values) in enumerate(_calibration(record).items())
        if (chart := reliability_chart(way, values, number)) is not None
    ]
    if not charts and not scores:
        return None
    best = record.selective.best if record.selective else None
    points = record.back_off.curve if record.back_off else []
    promises = _promises(record)
    return Section(
        "trust",
        "Can the probabilities be trusted?",
        "Trust",
        {
            "reliability": charts,
            "risk": risk_chart(scores, best),
            "scores": [
                ScoreRow(
                    clipped(score_words(name), 80), score.of or "JP", score.auroc, score.aurc, name == best
                )
                for name, score in scores.items()
            ],
            "measured": record.selective is not None,
            "promises": [row for row in promises if row.promise.possible],
            "impossible": _impossible(promises),
            "terms": promises[0].promise if promises else None,
            "back_off": [
                chart
                for chart in (back_off_chart(points, scores.get("JP")), answer_size_chart(points))
                if chart is not None
            ],
            "severity": {way: record.severity[way] for way in _LARGEST_PROBABILITY if way in record.severity},
            "superclasses": record.severity.get("superclasses"),
        },
    )
