"""Several seeds in one number: mean and deviation, and paired differences between rows."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssal.metrics import gain_over_runs


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation over n seeds; the deviation of a single one is not known."""

    mean: float
    deviation: float | None
    count: int


def summarise_values(values: Sequence[float]) -> Summary | None:
    """Mean and sample standard deviation.

    >>> summarise_values([1.0, 2.0, 3.0])
    Summary(mean=2.0, deviation=1.0, count=3)
    """
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Summary(statistics.fmean(values), deviation, len(values))


@dataclass(frozen=True)
class Difference:
    """Mean difference to another row over seeds that both have, with its 95 % interval by Student's t."""

    mean: float
    low: float | None
    high: float | None
    count: int


def paired_difference(ours: Mapping[int, float], reference: Mapping[int, float]) -> Difference | None:
    """Compare two rows seed by seed.

    >>> paired_difference({0: 52.0, 1: 54.0, 2: 53.0}, {0: 50.0, 1: 51.0, 2: 52.0}).mean
    2.0
    """
    seeds = sorted(ours.keys() & reference.keys())
    if not seeds:
        return None
    differences = [ours[seed] - reference[seed] for seed in seeds]
    if len(seeds) == 1:
        return Difference(differences[0], None, None, 1)
    return Difference(*gain_over_runs(differences), len(seeds))
