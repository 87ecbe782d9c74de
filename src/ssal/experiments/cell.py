"""One training from its description to its folder of results."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch

from ssal.confusion import Confusion, confusion_matrix, load_confusion, save_confusion, soft_confusion
from ssal.cost import count_flops, count_parameters
from ssal.errors import RunError
from ssal.experiments.equaltime import equal_time_epochs
from ssal.experiments.measure import standard_metrics
from ssal.experiments.methods import find_method
from ssal.experiments.store import RESULT, Part, Store, write_outputs
from ssal.experiments.training import Training
from ssal.experiments.yardstick import yardstick_seconds
from ssal.files import write_json
from ssal.grouping import Grouping
from ssal.joint import Exponents
from ssal.model import GroupedNetwork, SSALModel
from ssal.run.environment import describe_environment
from ssal.run.job import Job
from ssal.run.log import epoch_line
from ssal.run.prepare import prepare
from ssal.run.saved import SavedModel, save_model
from ssal.training import EpochRow, Objective, collect_outputs, fit

Say = Callable[[str], None]
_CONFUSION = "confusion.npz"


class _Clock:
    """Seconds of the stages of a training.

    On the CPU it counts the processor time of this process, which has one thread: what else the machine does
    changes wall time, and a comparison at equal time must not depend on it. With a GPU it counts wall time.
    """

    def __init__(self) -> None:
        self.name = "wall" if torch.cuda.is_available() else "processor"
        self.seconds: dict[str, float] = {}
        self.now = time.perf_counter if self.name == "wall" else time.process_time

    @contextmanager
    def __call__(self, stage: str) -> Generator[None]:
        started = self.now()
        yield
        self.seconds[stage] = round(self.now() - started, 3)


def do_training(training: Training, store: Store, say: Say) -> None:
    """Train, measure once on the test data, and write the results; a finished training is left as it is.

    Raises:
        BusyError: another process is doing the same training.
        SsalError: settings, data or groups cannot be used, or the training diverges.
        OSError: the results cannot be written.
    """
    digest = training.digest
    with store.locked(digest):
        if store.is_done(training):
            return
        clock = _Clock()
        with clock("data"):
            job = prepare(training.settings)
            if training.same_time_as is not None:
                epochs = equal_time_epochs(training, store)
                job = replace(job, settings=job.settings.model_copy(update={"epochs": epochs}))
            if training.settings.precision == "auto":
                job = job.decide(say)
        with clock("grouping"):
            groupings, shares = _groupings(training, job, store)
        steps = job.plan().epochs * len(job.train_loader()(rank=0, world_size=1))
        # Before the network is built, which starts all random numbers from the seed.
        yardsticks = [yardstick_seconds(job.precision, steps, clock.now)]
        network, objectives = _build(training, job, groupings)
        curve: list[EpochRow] = []

        def on_epoch(row: EpochRow) -> None:
            curve.append(row)
            say(epoch_line(row))

        with clock("training"):
            fitted = fit(
                network,
                job.train_loader(),
                job.eval_loader(job.heldout),
                job.plan(),
                stage=training.method,
                on_epoch=on_epoch,
                objectives=objectives,
            )
        yardsticks.append(yardstick_seconds(job.precision, steps, clock.now))
        model = fitted.model
        confusion: Confusion | None = None
        if training.is_baseline:
            with clock("confusion"):
                confusion = _soft_confusion(job, model)
        with clock("outputs"):
            parts = _outputs(job, model)
        # Other networks have outputs whose product means nothing.
        labels = [label.cpu() for label in model.labels] if isinstance(model, SSALModel) else []
        with clock("measures"):
            metrics = standard_metrics(parts, labels)
        result: dict[str, Any] = {
            "digest": digest,
            "training": training.describe(),
            "data": job.describe_data(),
            "environment": describe_environment(precision=job.precision, commit=commit()),
            "clock": clock.name,
            "seconds": clock.seconds,
            "yardstick": mean(yardsticks),
            "epochs": len(curve),
            "images_per_second": median(row.images_per_second for row in curve),
            **_costs(model),
            "groupings": [
                {"tap": spec.tap, "labels": spec.grouping.labels.tolist(), "share": share}
                for spec, share in zip(model.specs, shares, strict=False)
            ],
            "metrics": metrics,
            "curve": [asdict(row) for row in curve],
        }

        def fill(folder: Path) -> None:
            write_outputs(folder, parts)
            if confusion is not None:
                save_confusion(folder / _CONFUSION, confusion, job.data.class_names)
            if training.keep_weights and isinstance(model, SSALModel):
                save_model(folder / "model", _saved(job, model, metrics), version("ssal"))
            write_json(folder / RESULT, result)

        store.write(digest, fill)


def _groupings(training: Training, job: Job, store: Store) -> tuple[tuple[Grouping, ...], list[float | None]]:
    """One grouping per branch, with the share of the baseline's confusion inside its groups where known."""
    if training.is_baseline:
        return (), []
    if job.gathers or not find_method(training.method).needs_groups:
        return job.blank_groupings(), [None] * len(job.items)
    if training.groups_from is None:
        return job.groupings(None), [None] * len(job.items)
    confusion = _confusion(store, training.groups_from, job.settings.confusion)
    groupings = job.groupings(confusion)
    return groupings, [grouping.share(confusion) for grouping in groupings]


def _confusion(store: Store, digest: str, kind: str) -> Confusion:
    """The baseline's confusion: mean softmax over the training data, or counts over the held-out part."""
    if not store.has_result(digest):
        raise RunError(f"the baseline {digest} that the groups come from is not finished")
    if kind == "soft":
        return load_confusion(store.folder(digest) / _CONFUSION)[0]
    seen = store.outputs(digest)["heldout"]
    predicted = seen.outputs.main.argmax(dim=1)
    return confusion_matrix(predicted, seen.targets, seen.outputs.main.shape[1]).astype(np.float64)


def _build(
    training: Training, job: Job, groupings: tuple[Grouping, ...]
) -> tuple[GroupedNetwork, tuple[Objective, ...]]:
    if training.is_baseline:
        return job.make_model(()), ()
    return find_method(training.method).build(job, groupings, training.options)


def _soft_confusion(job: Job, model: GroupedNetwork) -> Confusion:
    seen = collect_outputs(model, job.eval_loader(job.known)(rank=0, world_size=1), job.precision)
    return soft_confusion(seen.outputs.main.softmax(dim=1), seen.targets, len(job.data.class_names))


def _outputs(job: Job, model: GroupedNetwork) -> dict[str, Part]:
    """Logits on held-out and test data; this is the one time that the test images are looked at."""
    images = {"heldout": job.heldout, "calibration": job.calibration, "test": job.data.test}
    parts: dict[str, Part] = {}
    for name, part in images.items():
        if len(part):
            seen = collect_outputs(model, job.eval_loader(part)(rank=0, world_size=1))
            parts[name] = Part(seen.outputs, seen.targets)
    return parts


def _costs(model: GroupedNetwork) -> dict[str, Any]:
    """Parameters and FLOPs of all parts, and of what the main classifier alone needs."""
    shape = model.input_shape
    whole = {"parameters": count_parameters(model), "flops": count_flops(model, shape)}
    main = whole
    if isinstance(model, SSALModel):
        bare = model.backbone
        main = {"parameters": count_parameters(bare), "flops": count_flops(bare, shape)}
    return {"whole": whole, "main": main}


def _saved(job: Job, model: SSALModel, metrics: dict[str, Any]) -> SavedModel:
    fitted = metrics["exponents"]
    exponents = Exponents(fitted["main"], tuple(fitted["branches"])) if fitted else Exponents(1.0, ())
    return SavedModel(model, job.backbone, job.data.class_names, job.preprocess, exponents)


def commit() -> str | None:
    """Commit of the working tree that this code runs from, with a + if files were changed; None elsewhere."""
    here = Path(__file__).parent

    def ask(*words: str) -> str:
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        done = subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, timeout=20, check=True, env=environment
        )
        return done.stdout.strip()

    try:
        if not ask("ls-files", Path(__file__).name):
            return None
        changed = ask("status", "--porcelain", "--untracked-files=no", ".")
        return ask("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
