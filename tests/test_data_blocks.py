"""Work in threads keeps the order, runs ahead by one list and stops when nobody wants more."""

import threading
import time
from collections.abc import Iterator

import pytest

from ssal.data import in_chunks_ahead


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
def test_results_come_in_order(count: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.001 * (count - number))
        return 10 * number

    found = list(in_chunks_ahead(range(count), work, 4))
    assert [len(chunk) for chunk in found] == [min(4, count - start) for start in range(0, count, 4)]
    assert [value for chunk in found for value in chunk] == [10 * number for number in range(count)]


def test_the_next_list_is_worked_on_while_one_is_used_and_no_further() -> None:
    done: dict[int, threading.Event] = {number: threading.Event() for number in range(12)}
    drawn: list[int] = []

    def source() -> Iterator[int]:
        for number in range(12):
            drawn.append(number)
            yield number

    chunks = in_chunks_ahead(source(), lambda number: done[number].set(), 3)
    assert drawn == []
    next(chunks)
    # All of the second list is worked on without asking for it.
    assert all(done[number].wait(timeout=60) for number in range(6))
    assert drawn == list(range(6))
    chunks.close()
    assert drawn == list(range(6))


def test_an_error_is_raised_where_its_list_is_due() -> None:
    def work(number: int) -> int:
        return 1 // (5 - number)

    chunks = in_chunks_ahead(range(9), work, 3)
    assert len(next(chunks)) == 3
    with pytest.raises(ZeroDivisionError):
        next(chunks)
