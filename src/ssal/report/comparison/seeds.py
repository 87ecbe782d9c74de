"""Runs that differ in their seed only: means, deviations, and what of the gains another seed may undo."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ssal.metrics import area_under_risk_coverage, gain_over_runs
from ssal.report.names import clipped
from ssal.report.numbers import MISSING, decimals
from ssal.report.reading import Record
from ssal.report.schema import Area
from ssal.selective import score_words

Value = float | None


@dataclass(frozen=True)
class Gain:
    """A difference over seeds.

    Attributes:
        mean: mean over the runs.
        deviation: standard deviation over the runs.
        low: lower end of the 95 % interval of the mean, by Student's t.
        high: upper end.
        above: in how many of the runs it is above zero.
        runs: number of runs.
    """

    mean: float
    deviation: float
    low: float
    high: float
    above: int
    runs: int


def gain_over_seeds(values: Sequence[float]) -> Gain:
    """Summarise a difference that was measured once in each of two or more runs.

    >>> gain = gain_over_seeds([1.34, 1.16, 0.47])
    >>> round(gain.mean, 2), round(gain.low, 2), round(gain.high, 2), gain.above
    (0.99, -0.15, 2.13, 3)
    """
    mean, low, high = gain_over_runs(values)
    above = sum(value > 0 for value in values)
    return Gain(mean, statistics.stdev(values), low, high, above, len(values))


def spread(values: Sequence[Value], digits: int) -> str:
    """Mean ± standard deviation, or a dash where a run lacks the value.

    >>> spread([1.0, 2.0], 1), spread([1.0, None], 1)
    ('1.5 ± 0.7', '–')
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values) or len(known) < 2:
        return MISSING
    return f"{decimals(statistics.mean(known), digits)} ± {decimals(statistics.stdev(known), digits)}"


def spread_rows(records: Sequence[Record]) -> list[tuple[str, list[str]]]:
    """Top-1, top-5, NLL, ECE and error detection over the seeds, for each way of prediction."""
    rows: list[tuple[str, list[str]]] = []
    for way in records[0].metrics.ways:
        found = [record.metrics.ways[way] for record in records if way in record.metrics.ways]
        if len(found) < len(records):
            continue
        cells = [
            spread([getattr(entry, name) for entry in found], digits)
            for name, digits in (("top1", 2), ("top5", 2), ("nll", 3), ("ece", 2))
        ]
        cells.append(spread([record.metrics.error_detection.get(way) for record in records], 4))
        cells.append(spread([_area(record, way) for record in records], 4))
        rows.append((way, cells))
    return rows


def _area(record: Record, way: str) -> Value:
    predictions = record.predictions
    if predictions is None or way not in predictions.answers:
        return None
    return area_under_risk_coverage(predictions.probabilities[way], predictions.right(way))


def score_rows(records: Sequence[Record]) -> list[tuple[str, str, str]]:
    """Score, AUROC and area under risk-coverage over the seeds, for the scores that all runs have."""
    return [
        (
            clipped(score_words(name), 80),
            spread(score_values(records, name, "auroc"), 4),
            spread(score_values(records, name, "aurc"), 4),
        )
        for name in shared_scores(records)
    ]


def shared_scores(records: Sequence[Record]) -> list[str]:
    """Names of the scores that all runs have."""
    found = [{} if record.selective is None else record.selective.scores for record in records]
    return [name for name in found[0] if all(name in scores for scores in found)]


def score_values(records: Sequence[Record], name: str, key: str) -> list[Value]:
    """`auroc` or `aurc` of a score that all runs have, one value a run."""
    return [
        None if record.selective is None else getattr(record.selective.scores[name], key)
        for record in records
    ]


def map_rows(records: Sequence[Record]) -> list[tuple[str, list[str]]]:
    """Part, and the areas under deletion of its map, random maps and a mark in the centre, over the seeds."""
    return [
        (name, [spread([getattr(area, key) for area in areas], 3) for key in ("map", "random", "centre")])
        for name, areas in deletion_areas(records).items()
    ]


def deletion_areas(records: Sequence[Record]) -> dict[str, list[Area]]:
    """Of each part that was checked in all runs, what deletion found."""
    found: list[dict[str, Area]] = [
        {
            clipped(part.part, 24): part.deletion
            for part in (record.explanations.parts if record.explanations else [])
            if part.deletion is not None
        }
        for record in records
    ]
    return {
        name: [areas[name] for areas in found] for name in found[0] if all(name in each for each in found)
    }
