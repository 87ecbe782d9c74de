"""How many epochs a training has, where a time is asked for."""

from __future__ import annotations

from typing import Literal

from ssal.errors import InputError

# What data, optimiser and held-out images add to the steps of an epoch.
_BESIDES_STEPS = 1.2


def epochs_in_time(
    minutes: float,
    batches: int,
    joint_step: float,
    baseline_step: float | None,
    baseline_epochs: int | Literal["same-time"] | None,
) -> tuple[int, float]:
    """Epochs of the joint training that fit a time with all that the baseline takes, and seconds of each.

    A number of epochs of the baseline is no part of those seconds, but all that it takes is of the time.

    Args:
        minutes: for both trainings.
        batches: in an epoch.
        joint_step: seconds of a step with branches.
        baseline_step: seconds of one without; None if no baseline is trained.
        baseline_epochs: those of the baseline, if they are given; `same-time` and None as in the settings.

    Raises:
        InputError: the epochs that the baseline is given leave no time for another.

    >>> epochs_in_time(1.0, 100, joint_step=0.03, baseline_step=0.02, baseline_epochs=None)
    (10, 6.0)
    """
    step, left = joint_step, 60 * minutes
    if baseline_step is not None:
        if baseline_epochs is None:
            step += baseline_step
        elif baseline_epochs == "same-time":
            step += joint_step
        else:
            left -= _BESIDES_STEPS * baseline_step * batches * baseline_epochs
    epoch = _BESIDES_STEPS * step * batches
    if isinstance(baseline_epochs, int) and left < epoch:
        raise InputError(
            f"{baseline_epochs} epochs of the baseline leave no time for one with branches in {minutes:g} "
            "minutes; give it fewer, or all more time"
        )
    return max(1, int(left / epoch)), epoch


def epochs_of_same_time(epochs: int, ratio: float) -> int:
    """Epochs of the baseline that take the time of the joint training, to the nearest, and no fewer.

    Args:
        epochs: of the joint training.
        ratio: time of a step with branches by that of one without.

    >>> epochs_of_same_time(20, 1.21), epochs_of_same_time(8, 0.97)
    (24, 8)
    """
    return max(epochs, round(epochs * ratio))
