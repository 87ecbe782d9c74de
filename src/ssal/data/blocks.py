"""Work over many images in threads; Pillow gives up Python's lock while it decodes."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

T = TypeVar("T")

_BLOCK = 256


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def each_index(count: int, work: Callable[[int], T | None], workers: int | None = None) -> Iterator[T]:
    """Call `work` for 0 … count-1 in threads, and yield in order what it returned other than None.

    Args:
        count: Number of calls.
        work: The function; an exception in it ends the iteration.
        workers: Number of threads; by default as many as cores.
    """

    # Blocks, since a million futures would take a gigabyte.
    def block(start: int) -> list[T]:
        found = (work(index) for index in range(start, min(start + _BLOCK, count)))
        return [result for result in found if result is not None]

    with ThreadPoolExecutor(workers or available_cores()) as pool:
        yield from chain.from_iterable(pool.map(block, range(0, count, _BLOCK)))
