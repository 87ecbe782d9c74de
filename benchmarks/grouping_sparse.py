"""Seconds and memory of groups of 10,000 and of 100,000 classes."""

import resource
import subprocess
import sys

import numpy as np
from harness import Ratio, arguments, one_thread, seconds
from scipy import sparse

one_thread()

from ssal.grouping import group_classes  # noqa: E402


def confusion(classes: int) -> sparse.csr_array:
    """Counts with planted groups of five and noise, about 20 entries a class."""
    random = np.random.default_rng(0)
    order = random.permutation(classes)
    near = order[(np.arange(classes)[:, None] // 5 * 5 + random.integers(0, 5, (classes, 12))) % classes]
    rows = np.repeat(order, 12)
    far = random.integers(0, classes, (2, 8 * classes))
    pairs = np.concatenate([rows, far[0]]), np.concatenate([near.ravel(), far[1]])
    counts = sparse.coo_array((np.ones(len(pairs[0])), pairs), shape=(classes, classes)).tocsr()
    counts.sum_duplicates()
    return counts


def alone(classes: int) -> None:
    """Measure in a process of its own, so that the peak of its memory is that of the grouping."""
    counts = confusion(classes)
    group_classes(confusion(1000), 200)  # compiles, imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = seconds(lambda: group_classes(counts, classes // 5))()
    print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, before / 2**20)


def main() -> None:
    given = arguments(1, [("alone", int, 0, "number of classes, in this process")])
    if given.alone:
        alone(given.alone)
        return
    for classes, target in ((10_000, 2.0), (100_000, 10.0)):
        command = [sys.executable, __file__, "--alone", str(classes)]
        runs = [
            subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(given.rounds)
        ]
        taken, peak, before = sorted(tuple(map(float, run.stdout.split())) for run in runs)[len(runs) // 2]
        settings = {"classes": classes, "groups": classes // 5, "unit": "s, GiB"}
        sides = {"seconds": taken, "peak": peak, "before": before}
        Ratio(f"grouping: seconds at {classes:,} classes", taken, target, "at most", sides, settings).print()
        if classes == 100_000:
            Ratio("grouping: GiB at 100,000 classes", peak, 1.0, "at most", sides, settings).print()


if __name__ == "__main__":
    main()
