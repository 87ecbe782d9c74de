"""What differs between runs: settings, groups, and the answers to the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssal.config import dotted
from ssal.grouping.grouping import agreement
from ssal.report.names import clipped
from ssal.report.paired import Paired, compare_paired
from ssal.report.reading import Record
from ssal.report.sections.again import shown

_WAYS = ("baseline", "TR", "JP", "LC")


@dataclass(frozen=True)
class Difference:
    """A run against the first one, by one way of prediction, on the same test images."""

    run: int
    way: str
    paired: Paired


@dataclass(frozen=True)
class Setting:
    """A setting that is not the same in all runs."""

    key: str
    values: list[str]


@dataclass(frozen=True)
class Groups:
    """Groups at one tap: number and share of the confusion in each run, and likeness to those of the first.

    Attributes:
        tap: the layer.
        counts: number of groups in each run, None where the run has no branch there.
        shares: share of the run's own confusion inside them, 0–1.
        likeness: adjusted Rand index against the first run that has groups there.
    """

    tap: str
    counts: list[int | None]
    shares: list[float | None]
    likeness: list[float | None]


def same_samples(first: Record, second: Record) -> bool:
    """Whether both runs answered the same test images."""
    mine, other = first.predictions, second.predictions
    if mine is None or other is None or first.settings.get("data") != second.settings.get("data"):
        return False
    if len(mine) != len(other) or not np.array_equal(mine.index, other.index):
        return False
    # Class ids may differ: the names of the true classes must not.
    names, others = (np.asarray(record.class_names, dtype=object) for record in (first, second))
    return bool((names[mine.target] == others[other.target]).all())


def paired_differences(records: Sequence[Record]) -> list[Difference]:
    """Each run against the first, where they answered the same test images."""
    first = records[0]
    found: list[Difference] = []
    for number, record in enumerate(records[1:], start=1):
        if not same_samples(first, record):
            continue
        mine, other = first.predictions, record.predictions
        if mine is None or other is None:
            continue
        found += [
            Difference(number, way, compare_paired(mine.right(way), other.right(way)))
            for way in _WAYS
            if way in mine.answers and way in other.answers
        ]
    return found


def differing_settings(records: Sequence[Record]) -> list[Setting]:
    """Settings that are not the same in all runs."""
    tables = [dotted(record.settings) for record in records]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    return [
        Setting(clipped(key, 60), [shown(table.get(key)) for table in tables])
        for key in keys
        if any(table.get(key) != tables[0].get(key) for table in tables)
    ]


def only_seeds_differ(records: Sequence[Record]) -> bool:
    """Whether the runs repeat each other with other seeds.

    A baseline of the same time has epochs that are measured for each.
    """
    if len(records) < 2:
        return False
    keys = {setting.key for setting in differing_settings(records)}
    return keys - {"baseline_epochs"} == {"seed"} and len(
        {record.settings.get("seed") for record in records}
    ) == len(records)


def compare_groups(records: Sequence[Record]) -> list[Groups]:
    """Groups of all runs, branch by branch."""
    by_tap = [dict(zip(record.branch_names, record.groupings, strict=False)) for record in records]
    rows: list[Groups] = []
    for tap in dict.fromkeys(tap for table in by_tap for tap in table):
        groupings = [table.get(tap) for table in by_tap]
        place = next(number for number, grouping in enumerate(groupings) if grouping is not None)
        first = groupings[place]
        rows.append(
            Groups(
                tap=clipped(tap, 40),
                counts=[None if grouping is None else grouping.num_groups for grouping in groupings],
                shares=[
                    None if grouping is None or record.confusion is None else grouping.share(record.confusion)
                    for grouping, record in zip(groupings, records, strict=True)
                ],
                likeness=[
                    None
                    if grouping is None or first is None or grouping.class_names != first.class_names
                    else agreement(first, grouping)
                    for grouping in groupings
                ],
            )
        )
    return rows
