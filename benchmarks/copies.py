"""Copies that nobody asked for, as the profiler and oneDNN's own log show them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from torch.profiler import ProfilerActivity, profile

_COPIES = ("aten::copy_", "aten::_reshape_copy")
# onednn_verbose,v1,primitive,exec,cpu,reorder,…,24x16x32x32,0.0039
_PRIMITIVE = re.compile(
    r"^onednn_verbose,.*primitive,exec,[^,]*,(\w+),.*,([^,]*),([0-9.e+-]+)$", re.MULTILINE
)


class Found(NamedTuple):
    """Time in milliseconds, and how many copies were of activations, which are large.

    Attributes:
        copying: Time of copies.
        all: Time of everything.
        of_activations: Copies of tensors [N, C, H, W] of the batch; changes of type are among them.
    """

    copying: float
    all: float
    of_activations: int


def by_pytorch(step: Callable[[], object], batch: int, rounds: int = 1) -> Found:
    """Profile some steps, and return the one with the median share of copies.

    Args:
        step: A training step, warmed up.
        batch: Images in its batch; no network should have as many channels.
        rounds: Steps to profile.
    """
    found = [_profiled(step, batch) for _ in range(rounds)]
    return sorted(found, key=lambda each: each.copying / each.all)[rounds // 2]


def _profiled(step: Callable[[], object], batch: int) -> Found:
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        step()
    events = profiler.events() or []
    copied = [event for event in events if event.name in _COPIES]
    shapes = [event.input_shapes[0] for event in copied if event.input_shapes]
    return Found(
        sum(event.self_cpu_time_total for event in copied) / 1000,
        sum(event.self_cpu_time_total for event in events) / 1000,
        sum(len(shape) == 4 and shape[0] == batch for shape in shapes),
    )


def by_onednn(log: str, batch: int) -> Found:
    """Read what oneDNN says of a step with `torch.backends.mkldnn.verbose`.

    Args:
        log: Standard output of the process that made the step.
        batch: Images in its batch.
    """
    primitives = [(name, shape, float(time)) for name, shape, time in _PRIMITIVE.findall(log)]
    reorders = [(shape, time) for name, shape, time in primitives if name == "reorder"]
    return Found(
        sum(time for _, time in reorders),
        sum(time for _, _, time in primitives),
        sum(shape.startswith(f"{batch}x") and shape.count("x") == 3 for shape, _ in reorders),
    )
