"""Short trial runs: does bfloat16 pay on this machine, and how long does a step take?"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Sequence

import torch

from ssal.joint import ssal_loss
from ssal.model import GroupedNetwork
from ssal.training.evaluate import default_device
from ssal.training.memoryformat import safe_channels_last
from ssal.training.plan import Precision

# Images of the first look at bfloat16.
_FEW = 8
_TURNS = 4


def step_seconds(model: GroupedNetwork, batch_size: int, precision: Precision, steps: int = 3) -> float:
    """Shortest time of a training step on a copy of `model`, without the optimiser.

    Args:
        model: left untouched.
        batch_size: samples a step.
        precision: as in `TrainingPlan`.
        steps: steps that count, after one that does not.
    """
    return min(step_times(model, batch_size, [precision], steps)[0])


def step_ratio(model: GroupedNetwork, other: GroupedNetwork, batch_size: int, precision: Precision) -> float:
    """How many times as long as one of `other` a training step of `model` takes; both are left untouched."""
    now = _clock()
    # In turns, so that a busy moment hits both.
    turns = [
        [min(step_times(each, batch_size, [precision], 1, now)[0]) for each in (model, other)]
        for _ in range(_TURNS)
    ]
    ours, theirs = (min(seconds) for seconds in zip(*turns, strict=True))
    return ours / theirs


def step_times(
    model: GroupedNetwork,
    batch_size: int,
    precisions: Sequence[Precision],
    steps: int,
    now: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Seconds of training steps on a copy of `model`, without the optimiser.

    Args:
        model: left untouched.
        batch_size: samples a step.
        precisions: they take turns, so that a busy moment hits all.
        steps: steps of each that count, after one that does not.
        now: the clock.

    Returns:
        For each precision the seconds of each step.
    """
    device = default_device()
    trial = copy.deepcopy(model).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    state = torch.get_rng_state()
    images = torch.randn(batch_size, *model.input_shape, device=device)
    if images.ndim == 4:
        images = images.contiguous(memory_format=torch.channels_last)
    target = torch.zeros(batch_size, dtype=torch.int64, device=device)
    weights = [spec.weight for spec in model.specs]
    times: list[list[float]] = [[] for _ in precisions]
    with safe_channels_last(trial):
        for step in range(steps + 1):
            for index, precision in enumerate(precisions):
                started = now()
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                    loss = ssal_loss(trial(images), target, trial.labels, weights)
                loss.backward()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                if step:
                    times[index].append(now() - started)
    torch.set_rng_state(state)
    return times


def choose_precision(model: GroupedNetwork, batch_size: int) -> Precision:
    """`bf16` where a training step is at least 5 % faster with it on this machine, else `32`.

    Some processors convert bfloat16 in software, and some convolutions are many times slower in it, so this
    is measured with the very model.
    """
    now = _clock()
    # A full batch in software takes a minute; a few images tell that it would.
    for batch, steps, pays in ((_FEW, 1, 4.0), (64, 3, 0.95)):
        single, half = step_times(model, min(batch_size, batch), ["32", "bf16"], steps, now)
        if min(half) >= pays * min(single):
            return "32"
    return "bf16"


def _clock() -> Callable[[], float]:
    """The processor time of this process where that tells what a step takes, whatever else the machine does.

    Of several threads it is a sum, and Windows counts it in steps that are longer than what is measured.
    """
    exact = sys.platform != "win32"
    alone = exact and default_device().type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter
