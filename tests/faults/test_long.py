"""A long run keeps no memory, no files and no processes, and each of its epochs has its line."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from .bench import Bench, settings

EPOCHS = 50
# The first epochs fill caches; then, a page or two for a few numbers in the loggers' tables is all.
SETTLED = 15
MOST_KB_PER_EPOCH = 40.0


@dataclass
class Trace:
    """What a run holds after each epoch of its joint training."""

    kilobytes: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)

    @property
    def slope(self) -> float:
        """Kilobytes an epoch, by least squares."""
        settled = self.kilobytes[SETTLED:]
        return float(np.polyfit(np.arange(len(settled)), settled, 1)[0])


def traced(bench: Bench, images: Path, folder: Path, leak: int = 0) -> tuple[Trace, str]:
    flags = settings(images, epochs=EPOCHS, workers=1, **{"checkpoint.steps": "null"})
    process = bench.start(folder, *flags, "--out", "run", fault=("leaking", {"size": leak}) if leak else None)
    log, trace, epochs = folder / "run" / "train.log", Trace(), 0
    while process.wait(0.005) is None:
        seen = len(re.findall("joint [0-9]+/", log.read_text())) if log.exists() else 0
        if seen > epochs:
            epochs = seen
            here = Path("/proc") / str(process.number)
            try:
                trace.kilobytes.append(int((here / "statm").read_text().split()[1]) * 4.096)
                trace.files.append(len(list((here / "fd").iterdir())))
            except FileNotFoundError:
                break
            trace.processes.append(len(process.left_over()))
    done = process.done()
    assert done.status == 0, done.output
    assert not process.left_over()
    return trace, log.read_text()


def test_fifty_epochs(bench: Bench, images: Path, tmp_path: Path) -> None:
    trace, log = traced(bench, images, tmp_path)
    assert len(trace.kilobytes) > 0.9 * EPOCHS
    print(
        f"{trace.slope:.1f} KB an epoch, {trace.files[SETTLED]} to {trace.files[-1]} files, "
        f"{trace.processes[SETTLED]} to {trace.processes[-1]} processes"
    )
    assert abs(trace.slope) < MOST_KB_PER_EPOCH
    # Pipes come and go with the process that reads the held-out part, whenever one looks; what stays counts.
    assert min(trace.files[-SETTLED:]) <= max(trace.files[:SETTLED])
    # The run, and one process each that reads the training and the held-out part.
    assert max(trace.processes[SETTLED:]) <= 3
    lines = [line for line in log.splitlines() if re.search(r" (baseline|joint) \d+/50: ", line)]
    assert len(lines) == 2 * EPOCHS
    for line in lines:
        assert re.fullmatch(
            r"\S+ \S+ \w+ \d+/50: loss [\d.]+, held-out [\d.]+ %(, joint [\d.]+ %)?, loss [\d.]+, "
            r"lr [\de.-]+, \d+ images/s, [\d.]+ GB, (last state \d+:\d\d ago|no state yet), \d+:\d\d left",
            line,
        ), line


@pytest.mark.slow
def test_a_leak_would_be_seen(bench: Bench, images: Path, tmp_path: Path) -> None:
    """A hundred kilobytes an epoch."""
    trace, _ = traced(bench, images, tmp_path, leak=100_000)
    assert trace.slope > 2 * MOST_KB_PER_EPOCH
