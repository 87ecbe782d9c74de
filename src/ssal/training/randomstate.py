"""State of the generators that a network may draw from while it is trained, as plain values and tensors."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """State of torch's generators (dropout), and of Python's and numpy's, which a network may use too.

    >>> before = random_state()
    >>> first = torch.rand(()), random.random(), np.random.rand()
    >>> set_random_state(before)
    >>> first == (torch.rand(()), random.random(), np.random.rand())
    True
    """
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state(device) for device in range(torch.cuda.device_count())],
        "python": random.getstate(),
        "numpy": _plain(np.random.get_state(legacy=True)),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Go back to what `random_state` returned; GPUs that are not here any more are left out."""
    torch.set_rng_state(state["torch"])
    for device, numbers in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(numbers, device)
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))


def _plain(state: Any) -> tuple[Any, ...]:
    name, keys, *rest = state
    return (name, torch.from_numpy(keys.astype(np.int64)), *rest)
