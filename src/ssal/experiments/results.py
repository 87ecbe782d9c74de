"""The rows of an experiment, measured on what is there so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from ssal.errors import InputError
from ssal.experiments.equaltime import relative_time, spent_seconds
from ssal.experiments.measure import ensemble_metrics, joint_metrics
from ssal.experiments.plan import Cell
from ssal.experiments.shown import Row
from ssal.experiments.spec import Experiment
from ssal.experiments.store import NoOutputsError, Store

Values = Mapping[str, float]


@dataclass(frozen=True)
class RowResult:
    """A row with its measurements by seed, and why some seeds have none.

    Attributes:
        row: the row of the experiment.
        by_seed: percentages, `nll`, `auroc` (of error detection, 0–1), `parameters`, `flops`, `branches`,
            `seconds`, and where it can be compared `time` in that of the experiment's `time_unit`, by seed.
        missing: `waiting`, or the error, by seed.
        digests: the trainings measured, by seed.
    """

    row: Row
    by_seed: Mapping[int, Values] = field(default_factory=dict[int, Values])
    missing: Mapping[int, str] = field(default_factory=dict[int, str])
    digests: Mapping[int, Sequence[str]] = field(default_factory=dict[int, Sequence[str]])


def column(result: RowResult, key: str) -> dict[int, float]:
    """One quantity by seed, where it was measured."""
    return {seed: values[key] for seed, values in result.by_seed.items() if key in values}


def measure_rows(experiment: Experiment, cells: Sequence[Cell], store: Store) -> list[RowResult]:
    """Measure each row for each seed whose trainings are finished.

    Args:
        experiment: the experiment.
        cells: its trainings, see `plan_cells`; rows of trainings that are not among them are left out.
        store: where the results are.
    """
    by_name = {(cell.name, cell.seed): cell for cell in cells}
    seeds = sorted({cell.seed for cell in cells})
    names = {cell.name for cell in cells}
    reader = _Reader(store)
    units = {cell.seed: cell for cell in cells if cell.name == experiment.time_unit}
    return [
        _measure(row, by_name, seeds, reader, units)
        for row in experiment.rows
        if names.issuperset(row.trainings)
    ]


class _Reader:
    """Reads each result once, and keeps a few of the larger outputs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.result = lru_cache(maxsize=None)(store.read)
        self.outputs = lru_cache(maxsize=4)(store.outputs)

    def labels(self, digest: str) -> list[Tensor]:
        """The map class → group of each branch."""
        return [torch.tensor(grouping["labels"]) for grouping in self.result(digest)["groupings"]]


def _measure(
    row: Row,
    by_name: Mapping[tuple[str, int], Cell],
    seeds: Sequence[int],
    reader: _Reader,
    units: Mapping[int, Cell],
) -> RowResult:
    values: dict[int, Values] = {}
    missing: dict[int, str] = {}
    digests: dict[int, Sequence[str]] = {}
    for seed in seeds:
        if not all((name, seed) in by_name for name in row.trainings):
            continue
        cells = [by_name[name, seed] for name in row.trainings]
        digests[seed] = [cell.digest for cell in cells]
        absent = [cell for cell in cells if not reader.store.has_result(cell.digest)]
        if absent:
            missing[seed] = _reason(absent[0], reader.store)
        else:
            try:
                measured = _metrics(row, digests[seed], reader)
            except NoOutputsError as error:
                missing[seed] = str(error)
            else:
                values[seed] = {
                    **measured,
                    **_costs(row, cells, reader),
                    **_time(cells, units.get(seed), reader),
                }
    return RowResult(row, values, missing, digests)


def _reason(cell: Cell, store: Store) -> str:
    errors = (store.error(digest) for digest in (cell.digest, *cell.training.needs))
    return next((error for error in errors if error is not None), "waiting")


def _metrics(row: Row, digests: Sequence[str], reader: _Reader) -> Values:
    if row.ensemble:
        return reader.store.remember("ensemble", digests, partial(_ensemble, digests, reader))
    digest = digests[0]
    stored = reader.result(digest)["metrics"]
    match row.way:
        case "baseline" | "TR":
            return _stored(stored, "main")
        case "LC":
            return _stored(stored, "LC") if "LC" in stored["ways"] else {}
        case "branch":
            return {"top1": _accuracy(row, stored["branches"])}
        case _:
            if "JP" not in stored["ways"]:
                raise InputError(f"row {row.label!r}: its network has no joint probability")
            if row.exponents == "fit":
                return _stored(stored, "JP")
            exponents = tuple(row.exponents)
            if set(exponents) == {1.0} and len(exponents) in (1, len(stored["branches"])):
                return _stored(stored, "JP1")
            name = "-".join(map(str, ("JP", *exponents)))
            return reader.store.remember(name, digests, partial(_joint, exponents, digest, reader))


def _stored(metrics: Mapping[str, Any], way: str) -> Values:
    """What was measured of a standard way; trainings of before may have no AUROC of error detection."""
    found = metrics.get("error_detection", {}).get(way)
    return metrics["ways"][way] | ({} if found is None else {"auroc": found})


def _ensemble(digests: Sequence[str], reader: _Reader) -> Values:
    return ensemble_metrics([reader.outputs(digest)["test"] for digest in digests])


def _accuracy(row: Row, branches: Sequence[float]) -> float:
    if row.branch >= len(branches):
        raise InputError(
            f"row {row.label!r}: there is no branch {row.branch}; "
            f"the network has {len(branches)}, counted from 0"
        )
    return branches[row.branch]


def _joint(exponents: Sequence[float], digest: str, reader: _Reader) -> Values:
    return joint_metrics(reader.outputs(digest)["test"], reader.labels(digest), exponents)


def _costs(row: Row, cells: Sequence[Cell], reader: _Reader) -> dict[str, float]:
    """What a prediction of this row costs, and the seconds that its trainings took, groups included."""
    part = "main" if row.way == "TR" else "whole"
    results: list[dict[str, Any]] = [reader.result(cell.digest) for cell in cells]
    seconds = sum(spent_seconds(result, reader.result) for result in results)
    totals = {key: float(sum(result[part][key] for result in results)) for key in ("parameters", "flops")}
    if row.way == "LC":
        totals["parameters"] += _combination_parameters(results[0])
    branches = float(sum(_count_branches(result) for result in results))
    return {**totals, "branches": branches, "seconds": seconds}


def _count_branches(result: Mapping[str, Any]) -> int:
    """Branches of a trained network: groups that are read off one are no further one."""
    groups = result["training"]["settings"].get("groups")
    count = len(result["groupings"])
    return min(count, len(groups)) if isinstance(groups, list) else count


def _time(cells: Sequence[Cell], unit: Cell | None, reader: _Reader) -> dict[str, float]:
    """What the trainings of a row took, in the time of the unit, if there is one to compare with."""
    if unit is None or not reader.store.has_result(unit.digest):
        return {}
    results = [reader.result(cell.digest) for cell in cells]
    time = relative_time(results, reader.result(unit.digest), reader.result)
    return {} if time is None else {"time": time}


def _combination_parameters(result: Mapping[str, Any]) -> int:
    """Weights and biases from the outputs of all parts to the classes."""
    labels: list[list[int]] = [grouping["labels"] for grouping in result["groupings"]]
    classes = len(labels[0])
    return classes * (1 + classes + sum(max(groups) + 1 for groups in labels))
