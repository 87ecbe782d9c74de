"""Everything that a finished run wrote, read once; what is missing or damaged is said in the report."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ssal.config import read_yaml
from ssal.confusion import Confusion, check_confusion, load_confusion
from ssal.directory import RunDirectory
from ssal.errors import RunError, SsalError
from ssal.grouping import Grouping
from ssal.report.predictions import Predictions, read_predictions
from ssal.report.schema import (
    BackOff,
    Calibration,
    Environment,
    Explanations,
    Gain,
    Metrics,
    Model,
    ModelBranch,
    Selective,
)
from ssal.text import place_and_task, told_apart

_Model = TypeVar("_Model", bound=BaseModel)
# Rounding of the table's own accuracy; what differs more was measured on other data.
_SAME = 0.005


@dataclass(frozen=True, eq=False)
class Record:
    """A finished run as the report sees it.

    Attributes:
        directory: where it lies.
        settings: content of `config.yaml`.
        metrics: content of `metrics.json`.
        environment: content of `env.json`.
        epochs: rows of `metrics.csv`, numbers as numbers.
        model: content of `model/config.json`, if it can be read.
        groupings: one for each branch.
        confusion: the confusion that the groups come from, if it can be read.
        predictions: those on the test data, if they can be read and are those of `metrics`.
        results: all of `metrics.json` as it is, with what `ssal eval` found later.
        calibration: of each way of prediction, if it was measured.
        likelihood_gain: by how much the joint prediction lowers the NLL of other ways, if it was measured.
        selective: abstaining, if it was measured.
        back_off: answering with a group, if it was measured.
        severity: mean severity of the mistakes of each way, if there are superclasses.
        explanations: checks of the explanations, if they were made.
        faults: what could not be read, one sentence each.
    """

    directory: RunDirectory
    settings: dict[str, Any]
    metrics: Metrics
    environment: Environment
    epochs: list[dict[str, Any]]
    model: Model | None
    groupings: tuple[Grouping, ...]
    confusion: Confusion | None
    predictions: Predictions | None
    results: dict[str, Any]
    calibration: dict[str, Calibration]
    likelihood_gain: dict[str, Gain]
    selective: Selective | None
    back_off: BackOff | None
    severity: dict[str, float | None]
    explanations: Explanations | None
    faults: tuple[str, ...] = field(default=())

    @property
    def branch_names(self) -> tuple[str, ...]:
        """A name for each branch: what it reads, with what it tells apart where several have the same."""
        branches = self._described_branches
        if branches is None:
            return tuple(branch.tap for branch in self.metrics.branches)
        return told_apart(
            place_and_task(branch.tap, branch.fused, len(set(branch.labels)), len(branch.labels))
            for branch in branches
        )

    @property
    def summed(self) -> tuple[bool, ...]:
        """For each branch, whether its groups are read off the classes of another one."""
        branches = self._described_branches
        return tuple(branch.summed for branch in branches or []) or (False,) * len(self.metrics.branches)

    @property
    def _described_branches(self) -> list[ModelBranch] | None:
        """The branches as the model describes them, if it can be read and has those that were measured."""
        found = [] if self.model is None else self.model.branches
        return found if len(found) == len(self.metrics.branches) else None

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def groups_of_baseline(self) -> bool:
        """Whether the groups are of what a baseline confuses, as in all runs before there was a choice."""
        return self.settings.get("groups_from", "baseline") == "baseline"

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes; none if the model cannot be read."""
        return () if self.model is None else self.model.class_names

    @property
    def data_name(self) -> str:
        """The data set, without the folders above it."""
        name = str(self.settings.get("data", "?"))
        return name if name.startswith("hf:") else Path(name).name or name

    @property
    def model_name(self) -> str:
        """The backbone, without its module."""
        return str(self.settings.get("model", "?")).rpartition(":")[2]


def read_record(path: Path) -> Record:
    """Read a finished run.

    Raises:
        RunError: there is no run, it is not finished, or its settings or metrics cannot be read.
    """
    directory = RunDirectory(path)
    if not path.is_dir():
        raise RunError(f"no run directory at {path}")
    if directory.is_empty():
        raise RunError(f"no run in {path}: config.yaml is missing")
    if not directory.metrics.exists():
        raise RunError(
            f"the run in {path} is not finished: metrics.json is missing; "
            f"go on with: ssal train --resume {path}"
        )
    settings = read_yaml(directory.config)
    results, metrics = _metrics(directory.metrics)
    later = _measured_later(directory, settings, metrics)
    results = later | {name: value for name, value in results.items() if value is not None}
    faults: list[str] = []
    model = _optional(directory.model / "config.json", Model, faults)
    names = () if model is None else tuple(model.class_names)
    return Record(
        directory=directory,
        settings=settings,
        metrics=metrics,
        environment=_optional(directory.env, Environment, faults) or Environment(),
        epochs=_epochs(directory.rows, faults),
        model=model,
        groupings=_groupings(model, faults),
        confusion=_confusion(directory.confusion, names, faults),
        predictions=_predictions(directory.predictions, names, metrics, faults),
        results=results,
        calibration=_sections("calibration", results.get("calibration"), Calibration, faults),
        likelihood_gain=_sections("likelihood_gain", results.get("likelihood_gain"), Gain, faults),
        selective=_section("selective", results.get("selective"), Selective, faults),
        back_off=_section("back_off", results.get("back_off"), BackOff, faults),
        severity=_numbers_in(results.get("severity")),
        explanations=_optional(path / "eval" / "explanations.json", Explanations, faults, wanted=False),
        faults=tuple(faults),
    )


def _fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    return f"{place + ': ' if place else ''}{first['msg'][:1].lower()}{first['msg'][1:]}"


def _metrics(path: Path) -> tuple[dict[str, Any], Metrics]:
    try:
        content = json.loads(path.read_bytes())
        metrics = Metrics.model_validate(content)
    except ValidationError as error:
        raise RunError(f"{path} holds no results of a run: {_fault(error)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from None
    stages = (content.get("seconds") or {}).get("stages")
    return content, metrics.model_copy(update={"stages": _numbers_in(stages)})


def _measured_later(directory: RunDirectory, settings: dict[str, Any], metrics: Metrics) -> dict[str, Any]:
    """What `ssal eval` found on the run's own test data: runs of older versions lack some of it."""
    try:
        content = json.loads(directory.predictions.with_name("metrics.json").read_bytes())
        same = (
            content["data"] == settings.get("data") and abs(content["JP"]["top1"] - metrics.JP.top1) < _SAME
        )
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return {}
    return content if same else {}


def _numbers_in(content: Any) -> dict[str, Any]:
    """The entries of a mapping that are numbers."""
    if not isinstance(content, dict):
        return {}
    return {str(name): value for name, value in content.items() if _is_number(value)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _optional(path: Path, kind: type[_Model], faults: list[str], *, wanted: bool = True) -> _Model | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        if wanted:
            faults.append(f"{path.parent.name}/{path.name} is missing")
    except ValidationError as error:
        faults.append(f"{path.name} has a form that this version does not read ({_fault(error)})")
    except OSError as error:
        faults.append(f"{path.name} cannot be read ({error.strerror})")
    return None


def _section(name: str, content: Any, kind: type[_Model], faults: list[str]) -> _Model | None:
    if content is None:
        return None
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults.append(f"{name} in metrics.json has a form that this version does not read ({_fault(error)})")
        return None


def _sections(name: str, content: Any, kind: type[_Model], faults: list[str]) -> dict[str, _Model]:
    if not isinstance(content, dict):
        return {}
    found = {str(way): _section(name, value, kind, faults) for way, value in content.items()}
    return {way: value for way, value in found.items() if value is not None}


def _epochs(path: Path, faults: list[str]) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_typed(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, csv.Error):
        # A row with more fields than columns has a list among its values.
        faults.append(f"{path.name} is missing or damaged")
        return []


def _typed(row: dict[str, str]) -> dict[str, Any]:
    return {
        key: value if key == "stage" else None if value in ("", None) else float(value)
        for key, value in row.items()
    }


def _groupings(model: Model | None, faults: list[str]) -> tuple[Grouping, ...]:
    if model is None:
        return ()
    try:
        return tuple(Grouping.from_labels(branch.labels, model.class_names) for branch in model.branches)
    except SsalError as error:
        faults.append(f"the groups in model/config.json are damaged ({error})")
        return ()


def _confusion(path: Path, names: Sequence[str], faults: list[str]) -> Confusion | None:
    try:
        confusion = check_confusion(load_confusion(path)[0])
    except SsalError:
        faults.append(f"{path.name} is missing or damaged")
        return None
    if confusion.shape != (len(names), len(names)):
        faults.append(f"{path.name} is for other classes")
        return None
    return confusion


def _predictions(path: Path, names: Sequence[str], metrics: Metrics, faults: list[str]) -> Predictions | None:
    try:
        predictions = read_predictions(path, names)
    except RunError as error:
        faults.append(str(error))
        return None
    for way, summary in metrics.ways.items():
        if way in predictions.answers and abs(predictions.top1(way) - summary.top1) > _SAME:
            # Older versions left the predictions of `ssal eval --data` there.
            faults.append(
                f"eval/{path.name} was made on other data than metrics.json; `ssal eval {path.parent.parent}`"
                " makes it anew"
            )
            return None
    return predictions
