"""Short names of runs that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def run_labels(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell them apart.

    >>> run_labels([Path("a/run"), Path("b/run"), Path("runs/c")])
    ['a/run', 'b/run', 'runs/c']
    >>> run_labels([Path("runs/g0"), Path("runs/g1")])
    ['g0', 'g1']
    """
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(part)} ({number})" for number, part in enumerate(parts, start=1)]
