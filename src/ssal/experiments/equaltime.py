"""How long a training took in all, and how many epochs of another one take as long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ssal.experiments.store import Store
from ssal.experiments.training import Training

Result = Mapping[str, Any]


def spent_seconds(result: Result, read: Callable[[str], Result]) -> float:
    """Training, and where groups are derived, the baseline's training, its confusion and the grouping.

    Args:
        result: content of `training.json`.
        read: from a digest to such a content.
    """
    own: Mapping[str, float] = result["seconds"]
    source = result["training"]["groups_from"]
    if source is None:
        return own["training"]
    before: Mapping[str, float] = read(source)["seconds"]
    return own["training"] + own["grouping"] + before["training"] + before["confusion"]


def equal_time_epochs(training: Training, store: Store) -> int:
    """How many epochs take the time that `training` is to take.

    Measured, and not counted in operations: small layers cost more time than their operations say. A machine
    may be faster or slower when this training runs, so the epochs are what is equal to the time of then: both
    that time and the seconds of an epoch are those of the trainings that are compared with.

    Args:
        training: a baseline with `same_time_as`, of the settings of the one that it is counted in.
        store: holds the trainings that it needs.

    Raises:
        RunError: one of them is not finished.
    """
    assert training.same_time_as is not None and training.counted_in is not None
    other, baseline = store.read(training.same_time_as), store.read(training.counted_in)
    epoch = baseline["seconds"]["training"] / len(baseline["curve"])
    return max(1, round(training.time_share * spent_seconds(other, store.read) / epoch))
