"""From settings to a finished run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ssal.config import Settings, make_settings, read_yaml, to_yaml
from ssal.errors import RunError
from ssal.files import write_text
from ssal.run.directory import RunDirectory, write_environment
from ssal.run.finish import fit_prediction, test
from ssal.run.job import prepare
from ssal.run.log import Log
from ssal.run.predictor import Mode, Predictor, load
from ssal.run.results import format_table
from ssal.run.stages import (
    Workplace,
    find_groups,
    measure_confusion,
    train_baseline,
    train_joint,
    write_metrics,
)
from ssal.training import keep_freed_memory


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        path: the run directory.
        metrics: content of `metrics.json`: per way of prediction top-1, top-5, NLL and ECE, and more.
    """

    path: Path
    metrics: dict[str, Any]

    def predictor(self, mode: Mode = "joint") -> Predictor:
        """The trained model, ready to predict."""
        return load(self.path, mode)

    def __str__(self) -> str:
        """The result table."""
        return format_table(self.metrics)


def _next_free(data: str) -> Path:
    """runs/NAME-1, or the next number that is not taken."""
    name = Path(data.removeprefix("hf:")).stem or "run"
    number = 1
    while (path := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return path


def _silent(text: str) -> None:
    pass


def start_training(
    settings: Settings,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    echo: Callable[[str], None] = _silent,
    progress: bool = False,
) -> Run:
    """Train into a new run directory.

    Args:
        settings: what to train, on what.
        out: the run directory; `runs/DATA-1`, `-2` … if None.
        overwrite: replace the run that is there.
        echo: called with each line that a person may want to read.
        progress: show a bar.

    Raises:
        RunError: there is a run in `out` already, or another process works there.
        InputError, DataError: see `prepare`.
    """
    directory = RunDirectory(out or _next_free(settings.data))
    if not directory.is_empty() and not overwrite:
        raise RunError(
            f"{directory.path} holds a run already; choose another --out, --overwrite it, "
            f"or go on with it: ssal train --resume {directory.path}"
        )
    job = prepare(settings)
    with directory.locked():
        directory.clear()
        log = Log(directory.log, echo)
        job = job.decide(log)
        write_environment(directory, precision=job.precision)
        write_text(directory.config, to_yaml(job.settings))
        return _run(Workplace(job, directory, log, progress))


def resume_training(path: Path, *, echo: Callable[[str], None] = _silent, progress: bool = False) -> Run:
    """Go on with a run from its last finished epoch; a finished run is shown as it is.

    Raises:
        RunError: there is no run in `path`, or another process works there.
    """
    directory = RunDirectory(path)
    if directory.is_empty():
        raise RunError(f"no run in {path}: config.yaml is missing")
    if directory.metrics.exists():
        run = Run(path, json.loads(directory.metrics.read_text(encoding="utf-8")))
        echo(f"the run in {path} is finished already\n{run}")
        return run
    job = prepare(make_settings(read_yaml(directory.config)))
    with directory.locked():
        log = Log(directory.log, echo)
        return _run(Workplace(job, directory, log, progress))


def _run(place: Workplace) -> Run:
    job, log = place.job, place.log
    keep_freed_memory()
    for note in job.data.notes:
        log(note)
    log(
        f"{job.data.name}: {len(job.fitting):,} images to train on, {len(job.heldout):,} held out, "
        f"{len(job.data.test):,} to test on, {len(job.data.class_names)} classes; "
        f"{job.backbone.name}, {torch.get_num_threads()} threads, {job.precision}"
    )
    baseline = train_baseline(place)
    groupings = find_groups(place, measure_confusion(place, baseline))
    model = train_joint(place, groupings)
    saved = fit_prediction(place, model)
    metrics = test(place, baseline, saved)
    write_metrics(place, metrics)
    run = Run(place.directory.path, metrics)
    log(f"\n{run}\n\nrun: {run.path}")
    return run


def train(
    data: str | Path,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    echo: Callable[[str], None] = print,
    progress: bool = False,
    **settings: Any,
) -> Run:
    """Train a classifier with branches, and measure what the branches bring.

    A baseline is trained first, the classes that it confuses are grouped, and the network is trained again
    with a branch per grouping. The test data are looked at once, at the end.

    Args:
        data: name of a data set, folder or Parquet file.
        out: run directory; `runs/DATA-1`, `-2` … if None.
        overwrite: replace the run that is there.
        echo: called with each line that a person may want to read.
        progress: show a bar.
        **settings: any setting of `ssal train`, such as `model="resnet18_cifar"`, `groups=(20, 33, 50)`,
            `epochs=10` or `optimizer={"momentum": 0.8}`.

    Raises:
        InputError: settings are not allowed; all faults are named at once.
        DataError: the data cannot be used.
        RunError: there is a run in `out` already, or another process works there.
    """
    made = make_settings({"data": str(data), **settings})
    path = None if out is None else Path(out)
    return start_training(made, path, overwrite=overwrite, echo=echo, progress=progress)
