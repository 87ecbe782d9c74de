"""How long a training took in all, and how many epochs of another one take as long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ssal.errors import RunError
from ssal.experiments.store import Store
from ssal.experiments.training import Training

Result = Mapping[str, Any]
Read = Callable[[str], Result]


def spent_seconds(result: Result, read: Read) -> float:
    """Training, and where groups are derived, the baseline's training, its confusion and the grouping.

    Args:
        result: content of `training.json`.
        read: from a digest to such a content.
    """
    return sum(seconds for _, seconds in _stages(result, read))


def relative_time(results: Sequence[Result], unit: Result, read: Read) -> float | None:
    """Time that trainings took in all, in that of `unit`, where it can be compared.

    Seconds of one machine are compared as they are, those of several machines in the time that a yardstick
    takes on each, see `yardstick_seconds`.

    Args:
        results: contents of `training.json`, whose times are summed.
        unit: the one that takes 1.
        read: from a digest to such a content.
    """
    counted = [stage for result in results for stage in _stages(result, read)]
    units = _stages(unit, read)
    records = [record for record, _ in (*counted, *units)]
    if len({_machine(record) for record in records}) == 1:
        return sum(seconds for _, seconds in counted) / sum(seconds for _, seconds in units)
    if all("yardstick" in record for record in records):
        return _in_yardsticks(counted) / _in_yardsticks(units)
    return None


def equal_time_epochs(training: Training, store: Store) -> int:
    """How many epochs take the time that `training` is to take.

    Measured, and not counted in operations: small layers cost more time than their operations say. A machine
    may be faster or slower when this training runs, so the epochs are what is equal to the time of then: both
    that time and the seconds of an epoch are those of the trainings that are compared with.

    Args:
        training: a baseline with `same_time_as`, of the settings of the one that it is counted in.
        store: holds the trainings that it needs.

    Raises:
        RunError: one of them is not finished, or their times cannot be compared.
    """
    assert training.same_time_as is not None and training.counted_in is not None
    other, baseline = store.read(training.same_time_as), store.read(training.counted_in)
    share = relative_time([other], baseline, store.read)
    if share is None:
        records = {name: store.read(name) for name in (training.same_time_as, training.counted_in)}
        source = other["training"]["groups_from"]
        records |= {} if source is None else {source: store.read(source)}
        old = ", ".join(
            str(store.folder(name)) for name, record in records.items() if "yardstick" not in record
        )
        raise RunError(
            "times of different machines are to be compared, and these trainings have no yardstick: "
            f"{old}; remove them, so that they are trained again"
        )
    return max(1, round(training.time_share * share * len(baseline["curve"])))


def _stages(result: Result, read: Read) -> list[tuple[Result, float]]:
    """Seconds with the record that they stand in, which says the machine."""
    own: Mapping[str, float] = result["seconds"]
    source = result["training"]["groups_from"]
    if source is None:
        return [(result, own["training"])]
    before = read(source)
    spent: Mapping[str, float] = before["seconds"]
    return [(result, own["training"] + own["grouping"]), (before, spent["training"] + spent["confusion"])]


def _in_yardsticks(stages: Sequence[tuple[Result, float]]) -> float:
    return sum(seconds / record["yardstick"] for record, seconds in stages)


def _machine(result: Result) -> tuple[str | None, ...]:
    """What tells machines apart; records without a processor are alike if they are of one commit."""
    environment: Mapping[str, Any] = result["environment"]
    processor = environment.get("processor")
    if not processor:
        return (None, environment.get("commit"))
    return (processor, *environment.get("gpus", ()))
