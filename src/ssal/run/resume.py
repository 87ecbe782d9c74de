"""What a run was begun with, and with what it may go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ssal.checkpoint import load_state, save_state
from ssal.config import Settings, dotted, make_settings, merge_into, nested, read_yaml, to_yaml
from ssal.directory import RunDirectory
from ssal.errors import InputError, RunError
from ssal.files import write_text
from ssal.run.job import Job
from ssal.weights import weights_file

# What has no influence on the result. The data may lie elsewhere, but must be the same. With another number
# of devices the result is another one, since batch norm sees other parts of a batch; the run says so.
_FREE = frozenset(
    (
        "data",
        "data_dir",
        "workers",
        "devices",
        "logger",
        "checkpoint.steps",
        "checkpoint.minutes",
        "explanation_images",
    )
)
_MAY_CHANGE = (
    "only workers, devices, logger, checkpoint.*, explanation_images and the place of the data may change, "
    "and epochs may grow"
)


@dataclass(frozen=True)
class Beginnings:
    """What a run was begun with.

    Attributes:
        settings: with everything decided, by dotted key.
        data: numbers and digests that tell other data and other weights apart.
        digest: identity of the run; its checkpoints hold it too.
        threads: how many it computed on, if it was told.
    """

    settings: dict[str, Any]
    data: dict[str, Any]
    digest: str
    threads: int | None = None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def describe_job(job: Job) -> Beginnings:
    """What is kept of a job that is about to begin."""
    settings, data = dotted(job.settings.model_dump(mode="json")), job.data
    labels = data.train.targets.tobytes() + data.test.targets.tobytes()
    weights = job.settings.weights
    content: dict[str, Any] = {
        "training images": len(data.train),
        "test images": len(data.test),
        "classes": len(data.class_names),
        "names of the classes": _digest("\0".join(data.class_names).encode("utf-8", "backslashreplace")),
        "labels": _digest(labels),
        "weights to start from": None if weights is None else _digest(weights_file(weights).read_bytes()),
    }
    return Beginnings(settings, content, _digest(json.dumps([settings, content]).encode()))


def save_beginnings(path: Path, beginnings: Beginnings) -> None:
    """Write what `load_beginnings` reads."""
    save_state(path, vars(beginnings))


def load_beginnings(path: Path) -> Beginnings:
    """Read what a run was begun with.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        found = Beginnings(**load_state(path))
        # What was decided is what settings can be, and the epochs are always decided.
        settings = make_settings(*(nested(key, value) for key, value in found.settings.items()))
        threads = cast("object", found.threads)
        if settings.epochs is not None and (threads is None or (isinstance(threads, int) and threads > 0)):
            return found
    except (TypeError, AttributeError, InputError):
        pass
    raise RunError(f"{path} does not say what a run was begun with")


def settings_to_go_on(
    directory: RunDirectory, beginnings: Beginnings, changes: Sequence[Mapping[str, Any]]
) -> Settings:
    """Settings of a run, with the changes that are asked for and allowed.

    `auto`, `same-time` and what is asked to be unset stand for what was decided when the run was begun.

    Args:
        directory: the run.
        beginnings: what it was begun with.
        changes: layers of settings, as `make_settings` takes them.

    Raises:
        InputError: keys or values are not allowed at all.
        RunError: settings differ that must not; all of them are named.
    """
    present = read_yaml(directory.config)
    given: dict[str, Any] = {}
    for layer in changes:
        merge_into(given, layer)
    asked = make_settings(present, given)
    named = dotted(given)
    kept: dict[str, Any] = {}
    faults: list[str] = []
    for key, value in dotted(asked.model_dump(mode="json")).items():
        if key not in beginnings.settings:
            raise RunError(
                f"the run in {directory.path} was begun with an earlier version of ssal, which had no "
                f"setting {key!r}, and cannot go on with this one; begin a new run"
            )
        was = beginnings.settings[key]
        if value == was or key in _FREE:
            continue
        if key in named and (value in ("auto", None) or (value == "same-time" and was is not None)):
            merge_into(kept, nested(key, was))
        elif fault := _fault(key, beginnings.settings, value, key in named, directory):
            faults.append(fault)
    if faults:
        raise RunError(
            f"the run in {directory.path} was begun with other settings: {'; '.join(faults)}; {_MAY_CHANGE}"
        )
    return make_settings(present, given, kept)


def accept(directory: RunDirectory, beginnings: Beginnings, settings: Settings) -> list[str]:
    """Write down the settings that a run goes on with; returns what a person should know of changes."""
    now, was = dotted(settings.model_dump(mode="json")), beginnings.settings
    if now == was:
        return []
    write_text(directory.config, to_yaml(settings))
    save_beginnings(directory.beginnings, replace(beginnings, settings=now))
    lines: list[str] = []
    if now["epochs"] != was["epochs"]:
        lines.append(
            f"{now['epochs']} epochs instead of {was['epochs']}: from here on, the learning rate is that of "
            "the longer schedule"
        )
    if now["devices"] != was["devices"]:
        lines.append(
            f"{now['devices']} devices instead of {was['devices']}: the weights will not be those of a run "
            "without this change"
        )
    return lines


def _fault(key: str, settings: Mapping[str, Any], value: Any, is_asked: bool, directory: RunDirectory) -> str:
    was, baseline = settings[key], settings.get("baseline_epochs")
    text = f"{key} was {_shown(was)}, {'asked' if is_asked else 'config.yaml says'} {_shown(value)}"
    if key != "epochs":
        return text
    if value < was:
        return f"{text}, but epochs cannot shrink"
    if baseline is not None:
        return f"{text}, but the baseline's {baseline} were chosen for {was}"
    if directory.baseline.exists():
        return f"{text}, but the baseline has had its {was}, and both trainings must have as many"
    return "" if is_asked else f"{text}: ask for more with --epochs {value}"


def _shown(value: Any) -> str:
    return ",".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else str(value)


def check_data(job: Job, beginnings: Beginnings) -> None:
    """Check that data and initial weights are still those that the run was begun with.

    Raises:
        RunError: they are not; numbers and names of what differs.
    """
    present = describe_job(job).data
    faults = [
        f"{name} were {was:,}, are {present[name]:,}" if isinstance(was, int) else f"other {name}"
        for name, was in beginnings.data.items()
        if present.get(name) != was
    ]
    if faults:
        raise RunError(f"the data are not those that the run was begun with: {'; '.join(faults)}")
