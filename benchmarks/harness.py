"""What all benchmarks share: two sides that take turns, medians, one JSON line."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Side = Callable[[], float]


@dataclass(frozen=True)
class Ratio:
    """A ratio of two sides that were measured in one run.

    Attributes:
        name: what is compared.
        ratio: the figure that counts.
        target: what it should reach.
        better: which way is better than the target.
        sides: both medians, by name.
        settings: what was run.
    """

    name: str
    ratio: float
    target: float
    better: Literal["at least", "at most"]
    sides: dict[str, float]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether the target is met."""
        return self.ratio >= self.target if self.better == "at least" else self.ratio <= self.target

    def print(self) -> None:
        """Print the ratio as one JSON line."""
        row = asdict(self) | {"reached": self.reached}
        print(json.dumps({key: _short(value) for key, value in row.items()}), flush=True)


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return {key: _short(item) for key, item in value.items()} if isinstance(value, dict) else value


def seconds(work: Callable[[], object]) -> Side:
    """A side that takes the wall time of `work`."""

    def run() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return run


def take_turns(sides: dict[str, Side], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Figures of all sides, round by round, the order reversed in every second round.

    A machine that is shared has slow moments: sides that take turns meet the same ones.
    """
    names = list(sides)
    figures: dict[str, list[float]] = {name: [] for name in names}
    for number in range(warm_up + rounds):
        for name in names if number % 2 else reversed(names):
            figure = sides[name]()
            if number >= warm_up:
                figures[name].append(figure)
    return figures


def medians(figures: dict[str, list[float]]) -> dict[str, float]:
    """Median of each side."""
    return {name: statistics.median(values) for name, values in figures.items()}


def paired_ratio(figures: dict[str, list[float]], above: str, below: str) -> float:
    """Median over the rounds of one side by the other: what a slow moment hits, it hits on both."""
    return statistics.median(
        first / second for first, second in zip(figures[above], figures[below], strict=True)
    )


def one_thread() -> None:
    """Keep this process, and what it starts, on one thread; to be called before torch is imported."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def arguments(rounds: int, extra: Sequence[tuple[str, type, Any, str]] = ()) -> argparse.Namespace:
    """Arguments of a benchmark: `--rounds`, and what it names itself."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds that count")
    for name, kind, default, text in extra:
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)
    return parser.parse_args()
