"""How many threads a training takes: none that wait for each other while another process computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from statistics import mean

import torch

from ssal.model import GroupedNetwork
from ssal.training.evaluate import default_device
from ssal.training.plan import Precision
from ssal.training.probe import step_times

_FEW, _MANY, _STEPS = 8, 64, 2
# Where a few images take longer than this, many would delay the start for nothing: large kernels wait less.
_LONG = 0.25
# Fewer threads are taken where they are faster by more than a measurement may be wrong.
_PAYS = 1.15
_CHOSEN = "OMP_NUM_THREADS"


@contextmanager
def paying_threads(
    make_model: Callable[[], GroupedNetwork],
    batch_size: int,
    precision: Precision,
    say: Callable[[str], None],
) -> Generator[None]:
    """Compute on as many threads as make a training step fastest, and on those of before at the end.

    Threads of one step wait for each other many times; where another process has one of their cores, they
    all wait for its turn to end, and a step may take many times as long as on a single thread. So steps are
    measured, on half as many threads again and again as long as that is faster. A number that is given by
    OMP_NUM_THREADS is kept, and so are the threads beside a GPU.

    Args:
        make_model: called where threads are measured at all.
        batch_size: samples a step.
        precision: as in `TrainingPlan`.
        say: called with a line where fewer threads are taken.
    """
    before = torch.get_num_threads()
    if before == 1 or _CHOSEN in os.environ or default_device().type != "cpu":
        yield
        return
    try:
        chosen, faster = _fastest(make_model(), batch_size, precision, before)
        if chosen != before:
            say(
                f"{chosen} of {before} threads, on which a step is {faster:.1f} times as fast: others may be "
                f"at work on this machine ({_CHOSEN} sets the number)"
            )
        torch.set_num_threads(chosen)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def same_threads(number: int, say: Callable[[str], None]) -> Generator[None]:
    """Compute on as many threads as a training began with, and on those of before at the end.

    Sums of floats in another order are other sums, so that the weights would not be the same bit for bit. A
    number that is given by OMP_NUM_THREADS, or a machine that has fewer, goes before.

    Args:
        number: of threads at the beginning.
        say: called with a line where there is another number.
    """
    before = torch.get_num_threads()
    if before == number or default_device().type != "cpu":
        yield
        return
    if _CHOSEN in os.environ or before < number:
        say(
            f"{before} instead of {number} {'thread' if number == 1 else 'threads'}: the weights will not "
            "be, bit for bit, those of a run without this change"
        )
        yield
        return
    try:
        torch.set_num_threads(number)
        yield
    finally:
        torch.set_num_threads(before)


def _fastest(model: GroupedNetwork, batch_size: int, precision: Precision, most: int) -> tuple[int, float]:
    """The number of threads, and how much faster a step is than on all."""

    def seconds(threads: int, samples: int) -> float:
        torch.set_num_threads(threads)
        # The mean, not the shortest: a step that had the cores to itself is no rule.
        return mean(step_times(model, min(batch_size, samples), [precision], _STEPS)[0])

    samples, first = _FEW, seconds(most, _FEW)
    if first < _LONG:
        samples, first = _MANY, seconds(most, _MANY)
    chosen, best = most, first
    while chosen > 1:
        fewer = seconds(chosen // 2, samples)
        if fewer * _PAYS >= best:
            break
        chosen, best = chosen // 2, fewer
    return chosen, first / best
