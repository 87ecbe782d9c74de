"""What sentences need to tell a difference from chance."""

from __future__ import annotations

from scipy.stats import hypergeom

from ssal.report.paired import Paired, compare_paired
from ssal.report.reading import Record


def joint_against_baseline(record: Record) -> Paired | None:
    """The joint prediction against the baseline on the test samples; None if there is no baseline."""
    predictions = record.predictions
    if predictions is None or "baseline" not in predictions.answers:
        return None
    return compare_paired(predictions.right("baseline"), predictions.right("JP"))


def more_often(first: tuple[float, int], second: tuple[float, int]) -> bool:
    """Whether the first share, of (percent, images), is larger beyond chance (Fisher's exact test, 2.5 %)."""
    (hits, images), (other_hits, other_images) = (
        (round(percent * images / 100), images) for percent, images in (first, second)
    )
    chance = hypergeom.sf(hits - 1, images + other_images, hits + other_hits, images)
    return float(chance) < 0.025
