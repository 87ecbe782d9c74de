"""Work over many images in threads; Pillow gives up Python's lock while it decodes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

from ssal.machine import available_cores

S = TypeVar("S")
T = TypeVar("T")

_BLOCK = 256


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


def in_chunks_ahead(items: Iterable[S], work: Callable[[S], T], size: int) -> Iterator[list[T]]:
    """Call `work` for each item in threads, and yield what it returned in order, in lists of `size`.

    While a list is being used, the next one is worked on.

    Args:
        items: What to work on; drawn from as needed, two lists ahead at most.
        work: The function; an exception in it is raised where its list is due.
        size: Items in a list; the last one may have fewer.
    """
    source = iter(items)
    waiting: deque[list[Future[T]]] = deque()
    pool = ThreadPoolExecutor(available_cores())

    def begin() -> None:
        if chunk := list(islice(source, size)):
            waiting.append([pool.submit(work, item) for item in chunk])

    try:
        begin()
        while waiting:
            begin()
            yield [future.result() for future in waiting.popleft()]
    finally:
        # Who stops in the middle need not wait for what is left.
        pool.shutdown(cancel_futures=True)
