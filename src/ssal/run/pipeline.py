"""From settings to a finished run."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ssal.config import Settings, make_settings, to_yaml
from ssal.data import FileIndex
from ssal.directory import RunDirectory
from ssal.errors import InputError, RunError, SsalError
from ssal.files import write_text
from ssal.interrupts import Interrupted, Interrupts
from ssal.run.environment import write_environment
from ssal.run.finish import check_maps, fit_prediction, test
from ssal.run.log import Log
from ssal.run.predictor import Mode, Predictor, load
from ssal.run.prepare import prepare
from ssal.run.results import format_table, read_metrics
from ssal.run.resume import (
    accept,
    check_data,
    describe_job,
    load_beginnings,
    save_beginnings,
    settings_to_go_on,
)
from ssal.run.stages import (
    Workplace,
    find_groups,
    measure_confusion,
    train_at_once,
    train_baseline,
    train_joint,
    write_metrics,
)
from ssal.training import keep_freed_memory, lost_worker


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
        Interrupted: SIGINT or SIGTERM asked to stop; the message says how to go on.
    """
    directory = RunDirectory(out or _next_free(settings.data))
    with _interrupts(directory) as interrupts:
        directory.check_vacant(overwrite=overwrite)
        directory.check_unlocked()
        # That of the run that was here, if there was one.
        index = FileIndex.load(directory.index)
        job = prepare(settings, index)
        with directory.locked():
            # Another process may have been faster.
            directory.check_vacant(overwrite=overwrite)
            directory.clear()
            _keep(index, directory)
            log = Log(directory.log, echo)
            with job.paying_threads(log):
                job = job.decide(log)
                beginnings = replace(describe_job(job), threads=torch.get_num_threads())
                write_environment(directory, precision=job.precision)
                save_beginnings(directory.beginnings, beginnings)
                # Last: with it, the folder holds a run.
                write_text(directory.config, to_yaml(job.settings))
                return _run(Workplace(job, directory, log, progress, beginnings.digest, interrupts))


def _keep(index: FileIndex, directory: RunDirectory) -> None:
    # A run does not end for want of it: files are looked at again then.
    with suppress(OSError):
        index.save(directory.index)


def resume_training(
    path: Path,
    *,
    changes: Sequence[Mapping[str, Any]] = (),
    echo: Callable[[str], None] = _silent,
    progress: bool = False,
) -> Run:
    """Go on with a run where its last state was saved; a finished run is shown as it is.

    Args:
        path: the run directory.
        changes: settings to go on with, in layers; most must be those of the run, see `settings_to_go_on`.
        echo: called with each line that a person may want to read.
        progress: show a bar.

    Raises:
        RunError: there is no run in `path`, another process works there, its files are damaged, or settings
            or data differ from those that it was begun with.
        InputError, DataError: see `prepare`.
        Interrupted: SIGINT or SIGTERM asked to stop; the message says how to go on.
    """
    directory = RunDirectory(path)
    if directory.is_empty():
        raise RunError(f"no run in {path}: config.yaml is missing")
    if directory.metrics.exists() and not changes:
        return _finished(directory, echo)
    with _interrupts(directory) as interrupts, directory.locked():
        beginnings = load_beginnings(directory.beginnings)
        settings = settings_to_go_on(directory, beginnings, changes)
        if directory.metrics.exists():
            return _finished(directory, echo)
        index = FileIndex.load(directory.index)
        job = prepare(settings, index)
        check_data(job, beginnings)
        _keep(index, directory)
        log = Log(directory.log, echo)
        for line in accept(directory, beginnings, job.settings):
            log(line)
        with job.same_threads(beginnings.threads, log):
            return _run(Workplace(job, directory, log, progress, beginnings.digest, interrupts))


def _finished(directory: RunDirectory, echo: Callable[[str], None]) -> Run:
    run = Run(directory.path, read_metrics(directory.metrics))
    echo(f"the run in {directory.path} is finished already\n{run}")
    return run


@contextmanager
def _interrupts(directory: RunDirectory) -> Generator[Interrupts]:
    """Heed signals; who is interrupted is told how to go on."""
    with Interrupts() as interrupts:
        try:
            yield interrupts
        except Interrupted as stop:
            written = (
                "nothing was written" if directory.is_empty() else f"go on with: {directory.resume_command}"
            )
            raise Interrupted(stop.signum, written) from None


def _run(place: Workplace) -> Run:
    try:
        return _stages(place)
    except RuntimeError as error:
        lost = lost_worker(error)
        if lost is None:
            raise
        place.log.note(lost)
        # A signal to all processes ends one that began just now, before it could leave signals to this one.
        place.interrupts.check()
        raise RunError(
            f"{lost}; go on, with fewer workers if need be: {place.directory.resume_command}"
        ) from None
    except (Interrupted, SsalError, OSError) as error:
        # The disk that failed may be the one with the log.
        with suppress(OSError):
            place.log.note(str(error))
        raise


def _stages(place: Workplace) -> Run:
    job, log = place.job, place.log
    keep_freed_memory()
    for note in job.notes:
        log(note)
    count = torch.get_num_threads()
    threads = f"{count} thread" if count == 1 else f"{count} threads"
    log(f"{job.describe_data()}; {job.backbone.name}, {threads}, {job.precision}")
    baseline = train_baseline(place) if job.settings.baseline else None
    # What the baseline confuses is worth a look, whatever the groups come from; the training's own is better.
    confusion = None if baseline is None or job.gathers else measure_confusion(place, baseline)
    model = train_at_once(place) if confusion is None else train_joint(place, find_groups(place, confusion))
    saved = fit_prediction(place, model)
    metrics = test(place, baseline, saved)
    check_maps(place, saved)
    write_metrics(place, metrics)
    run = Run(place.directory.path, metrics)
    log(f"\n{run}\n\nrun: {run.path}")
    return run


def _name(data: object) -> str:
    if isinstance(data, str | Path):
        return str(data)
    raise InputError(
        f"data is the name of a data set, a folder or a Parquet file, not {type(data).__name__}; arrays "
        "become a data set by ssal.data.register_source"
    )


def train(
    data: str | Path,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    echo: Callable[[str], None] = print,
    progress: bool = False,
    **settings: Any,
) -> Run:
    """As `ssal.train`, without the report.

    Raises:
        InputError, DataError: see `prepare`.
        RunError: there is a run in `out` already, or another process works there.
        KeyboardInterrupt: SIGINT asked to stop; the state was saved, the message says how to go on.
        SystemExit: likewise SIGTERM.
    """
    made = make_settings({"data": _name(data), **settings})
    path = None if out is None else Path(out)
    try:
        return start_training(made, path, overwrite=overwrite, echo=echo, progress=progress)
    except Interrupted as stop:
        echo(str(stop))
        if stop.signum == signal.SIGINT:
            raise KeyboardInterrupt(str(stop)) from None
        raise SystemExit(stop.status) from None
