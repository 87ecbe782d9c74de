"""The stages of a run; each leaves its result in the run directory and finds it there when run again."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

import numpy as np

from ssal.checkpoint import load_state, save_state
from ssal.confusion import (
    DENSE_LIMIT,
    Confusion,
    SoftConfusion,
    confusion_matrix,
    load_confusion,
    save_confusion,
    sparse_confusion,
)
from ssal.directory import RunDirectory
from ssal.errors import RunError
from ssal.files import write_json
from ssal.grouping import Grouping
from ssal.interrupts import Interrupts
from ssal.model import SSALModel
from ssal.run.job import Job
from ssal.run.log import Log, add_row, epoch_line, stage_seconds
from ssal.training import (
    EpochRow,
    GatheredGroups,
    Objective,
    SaveEvery,
    TrainingPlan,
    collect_outputs,
    find_checkpoint,
    fit,
    iterate_outputs,
    make_loggers,
)

_STAGES = ("baseline", "joint")


@dataclass(frozen=True)
class Workplace:
    """A job, where its results go, and how it is talked about.

    Attributes:
        job: what to do.
        directory: where results go.
        log: where lines go.
        progress: whether bars are shown.
        run: identity of the run, kept in its checkpoints.
        interrupts: where signals are noted.
    """

    job: Job
    directory: RunDirectory
    log: Log
    progress: bool = False
    run: str = ""
    interrupts: Interrupts = field(default_factory=Interrupts)

    @contextmanager
    def timed(self, name: str) -> Generator[None]:
        """Keep the seconds of a block under `name`; they survive an interruption between stages."""
        started = time.perf_counter()
        yield
        seconds = self.seconds()
        seconds[name] = time.perf_counter() - started
        save_state(self.directory.checkpoints / "seconds.ckpt", seconds)

    def seconds(self) -> dict[str, float]:
        """Seconds of the stages so far."""
        path = self.directory.checkpoints / "seconds.ckpt"
        return dict(load_state(path)) if path.exists() else {}

    def on_epoch(self, row: EpochRow) -> None:
        """Write and say what an epoch brought."""
        add_row(self.directory.rows, row)
        self.log(epoch_line(row, self.directory.last))


def _fit_stage(
    place: Workplace, stage: str, model: SSALModel, plan: TrainingPlan, objectives: Sequence[Objective] = ()
) -> SSALModel:
    """Train `model`, from the last checkpoint if there is one of this stage."""
    directory, job = place.directory, place.job
    every = job.settings.checkpoint
    fitted = fit(
        model,
        job.train_loader(),
        job.eval_loader(job.heldout),
        plan,
        stage=stage,
        run=place.run,
        checkpoints=directory.checkpoints,
        save_every=SaveEvery(every.steps, every.minutes),
        resume_from=_checkpoint(place, stage),
        on_epoch=place.on_epoch,
        progress=place.progress,
        loggers=make_loggers(job.settings.logger, directory.path, stage),
        objectives=objectives,
        interrupts=place.interrupts,
    )
    return fitted.model


def _checkpoint(place: Workplace, stage: str) -> Path | None:
    """The state to go on from, if there is one of this stage.

    Raises:
        RunError: there is one, but it is damaged or of another run, or of a stage that comes after this one.
    """
    found = find_checkpoint(place.directory.checkpoints)
    if found is None:
        return None
    if found.note:
        place.log(found.note)
    if found.run != place.run:
        raise RunError(f"{found.path} belongs to another run")
    if found.stage != stage:
        if stage == _STAGES[0]:
            baseline = place.directory.baseline
            raise RunError(f"{found.path} belongs to the {found.stage} training, but {baseline} is missing")
        return None
    place.log(f"going on with the {stage} training after {found.epoch} epochs and {found.batch} batches")
    return found.path


def train_baseline(place: Workplace) -> SSALModel:
    """The backbone alone, trained or read from the run."""
    model = place.job.make_model(())
    path = place.directory.baseline
    if path.exists():
        return read_baseline(path, model)
    model = _fit_stage(place, "baseline", model, place.job.baseline_plan())
    save_state(path, model.state_dict())
    return model


def read_baseline(path: Path, model: SSALModel) -> SSALModel:
    """Fill `model` with the baseline's weights from `path`.

    Raises:
        RunError: the file is missing, damaged, or of another network.
    """
    state = load_state(path)
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError):
        raise RunError(f"{path} holds the weights of another network") from None
    return model.eval()


def measure_confusion(place: Workplace, baseline: SSALModel) -> Confusion:
    """Confusion of the baseline on training data, never on test data.

    Soft confusion averages over the training images, hard counts are taken from the held-out part only,
    since a network has learnt the answers for the rest. The calibration part stays out of both.
    """
    job, path = place.job, place.directory.confusion
    if path.exists():
        return load_confusion(path)[0]
    classes = len(job.data.class_names)
    with place.timed("confusion"):
        if job.settings.confusion == "soft":
            total = SoftConfusion(classes)
            loader = job.eval_loader(job.known)(rank=0, world_size=1)
            for outputs, batch in iterate_outputs(baseline, loader, job.precision):
                total.update(outputs.main.softmax(dim=1), batch.targets)
            confusion: Confusion = total.matrix()
        else:
            loader = job.eval_loader(job.heldout)(rank=0, world_size=1)
            seen = collect_outputs(baseline, loader, job.precision)
            predicted = seen.outputs.main.argmax(dim=1)
            if classes <= DENSE_LIMIT:
                confusion = confusion_matrix(predicted, seen.targets, classes).astype(np.float64)
            else:
                confusion = sparse_confusion(predicted, seen.targets, classes)
    save_confusion(path, confusion, job.data.class_names)
    return confusion


def _file_names(taps: tuple[str, ...]) -> list[str]:
    """One file name per tap; from the second on, those of one tap are numbered."""
    names: list[str] = []
    for tap in taps:
        name = re.sub(r"[^\w.-]", "_", tap)
        numbered = chain([name], (f"{name}-{number}" for number in count(2)))
        names.append(next(free for free in numbered if free not in names))
    return [f"{name}.json" for name in names]


def find_groups(place: Workplace, confusion: Confusion) -> tuple[Grouping, ...]:
    """One grouping per branch, derived or read from the run."""
    job, folder = place.job, place.directory.groups
    paths = [folder / name for name in _file_names(job.taps)]
    if all(path.exists() for path in paths):
        return tuple(Grouping.load(path) for path in paths)
    with place.timed("grouping"):
        groupings = job.groupings(confusion)
    _keep_groups(place, groupings, confusion)
    return groupings


def _keep_groups(place: Workplace, groupings: Sequence[Grouping], confusion: Confusion | None) -> None:
    taps = place.job.taps
    for grouping, name, tap, head in zip(groupings, _file_names(taps), taps, place.job.heads, strict=True):
        grouping.save(place.directory.groups / name)
        if head.item == "fused":
            place.log(f"branch at {tap}: the classes, read off all branches")
            continue
        if grouping.is_identity:
            place.log(f"branch at {tap}: the classes themselves")
            continue
        share = "" if confusion is None else f" hold {100 * grouping.share(confusion):.1f} % of the confusion"
        place.log(f"branch at {tap}: {grouping.num_groups} groups{share}")


def train_joint(place: Workplace, groupings: tuple[Grouping, ...]) -> SSALModel:
    """Backbone and branches, trained together from the start (§3.3)."""
    job = place.job
    return _fit_stage(place, "joint", job.make_model(groupings), job.plan(), (job.objective(),))


def train_at_once(place: Workplace) -> SSALModel:
    """Backbone and branches in one training, with groups from what it confuses in its first epochs.

    Branches whose groups need no confusion begin with the backbone.
    """
    job, directory = place.job, place.directory
    objective = job.objective()
    blank = job.blank_groupings() if job.gathers else job.groupings(None)
    model = _fit_stage(place, "joint", job.make_model(blank), job.plan(), (objective,))
    confusion = objective.confusion() if isinstance(objective, GatheredGroups) else None
    if confusion is not None:
        save_confusion(directory.confusion, confusion, job.data.class_names)
    _keep_groups(place, [spec.grouping for spec in model.specs], confusion)
    return model


def training_seconds(place: Workplace) -> dict[str, float]:
    """Seconds of both trainings and of the stages between."""
    rows = place.directory.rows
    fitted = {stage: stage_seconds(rows, stage) for stage in _STAGES}
    return fitted | place.seconds()


def write_metrics(place: Workplace, metrics: dict[str, object]) -> None:
    """Write `metrics.json`, the last thing that a run does."""
    write_json(place.directory.metrics, metrics)
