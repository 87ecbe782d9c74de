"""The figures that a reader takes away, one tile each."""

from __future__ import annotations

from dataclasses import dataclass

from ssal.report.numbers import decimals, share, signed, tied
from ssal.report.reading import Record
from ssal.report.sections.agreement import levels
from ssal.report.sections.confusion import chance_share
from ssal.report.sections.results import against_baseline


@dataclass(frozen=True)
class Tile:
    """A figure, what it is, and what to hold it against."""

    figure: str
    label: str
    against: str


def tiles(record: Record) -> list[Tile]:
    """Accuracy, what the branches change, their agreement, and what their groups hold; as far as known."""
    found = [_accuracy(record), _agreement(record), _groups(record)]
    return [Tile(tied(tile.figure), tile.label, tied(tile.against)) for tile in found if tile is not None]


def _accuracy(record: Record) -> Tile:
    baseline, joint = record.metrics.baseline, record.metrics.JP
    paired = against_baseline(record).get("JP")
    if paired is None or baseline is None:
        return Tile(f"{decimals(joint.top1)} %", "of the test images right", "joint prediction (JP)")
    low, high = paired.interval
    return Tile(
        signed(paired.difference),
        "points of accuracy",
        f"{decimals(baseline.top1)} → {decimals(joint.top1)} %; "
        f"95 % interval {signed(low)} to {signed(high)}",
    )


def _agreement(record: Record) -> Tile | None:
    predictions = record.predictions
    if predictions is None or not predictions.groups:
        return None
    found = levels(predictions)
    full = [level for level in found if level.agreeing == len(predictions.groups)]
    rest = [level for level in found if level.agreeing < len(predictions.groups)]
    if not full or not rest:
        return None
    images = sum(level.images for level in rest)
    right = sum(level.accuracy * level.images for level in rest) / images
    everyone = "all branches agree" if len(predictions.groups) > 1 else "the branch agrees"
    return Tile(
        f"{decimals(full[0].accuracy, 1)} %",
        f"right where {everyone}",
        f"{share(full[0].images, len(predictions))} of the images; elsewhere {decimals(right, 1)} % right",
    )


def _groups(record: Record) -> Tile | None:
    useful = [grouping for grouping in record.groupings if grouping.num_groups < len(grouping.labels)]
    if record.confusion is None or not useful:
        return None
    coarse = min(useful, key=lambda grouping: grouping.num_groups)
    return Tile(
        f"{100 * coarse.share(record.confusion):.0f} %",
        f"of the confusion lies in {coarse.num_groups} groups",
        f"random groups of these sizes would hold {100 * chance_share(coarse):.0f} %",
    )
