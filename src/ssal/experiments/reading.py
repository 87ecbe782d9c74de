"""Experiments out of their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ssal.config import read_yaml
from ssal.errors import InputError, unknown_name
from ssal.experiments.section import Section
from ssal.experiments.shown import Panel, Row
from ssal.experiments.spec import SCALES, Experiment, Override, Scale, ScaleName, TrainingSpec

_FOLDER = Path(__file__).parent / "definitions"


def list_experiments(folder: Path = _FOLDER) -> tuple[str, ...]:
    """Names of the experiments that come with the package, sorted.

    >>> "table1" in list_experiments()
    True
    """
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def load_experiment(name: str) -> Experiment:
    """Read an experiment by its name, or from a file of one's own that ends in .yaml.

    Raises:
        InputError: there is no such experiment, or its file has faults; all are named.
    """
    if name.endswith((".yaml", ".yml")):
        return parse_experiment(read_yaml(Path(name)), name)
    if name not in list_experiments():
        raise unknown_name("experiment", name, list_experiments())
    return parse_experiment(read_yaml(_FOLDER / f"{name}.yaml"), name)


def check_scale(experiment: Experiment, scale: str) -> ScaleName:
    """Check that the experiment has the scale.

    Raises:
        InputError: it has not.
    """
    for known in SCALES:
        if known == scale and known in experiment.scales:
            return known
    raise unknown_name("scale", scale, [known for known in SCALES if known in experiment.scales])


def parse_experiment(content: Mapping[str, Any], name: str) -> Experiment:
    """Check the content of an experiment's file.

    Raises:
        InputError: keys or values are not allowed; all faults are named at once.
    """
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        faults = [_describe(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()]
        raise InputError(f"experiment {name}: {'; '.join(dict.fromkeys(faults))}") from None


_PARTS: Mapping[str, type[Section]] = {
    "common": Override,
    "scales": Scale,
    "bases": TrainingSpec,
    "trainings": TrainingSpec,
    "rows": Row,
    "panels": Panel,
}


def _describe(place: Sequence[int | str], kind: str, message: str) -> str:
    path = ".".join(str(step) for step in place)
    if kind == "extra_forbidden":
        *above, key = place
        part = _PARTS.get(str(above[0]), Experiment) if above else Experiment
        hint = unknown_name("key", str(key), list(part.model_fields))
        return f"{path}: {hint}"
    text = message.removeprefix("Value error, ")
    return f"{path}: {text[:1].lower()}{text[1:]}" if path else text
