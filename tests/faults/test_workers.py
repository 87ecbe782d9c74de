"""Processes that read images: however many there are and whatever becomes of them."""

import os
import signal
from pathlib import Path

import pytest

from .bench import Bench, Outcome, Process, outcome, settings

PHASES = {
    "training": ("ssal.training.module:TrainingModule.training_step", 12),
    "looking at the held-out part": ("ssal.training.module:TrainingModule.validation_step", 1),
    "measuring the confusion": ("ssal.run.stages:SoftConfusion.update", 1),
}


def paused(bench: Bench, images: Path, folder: Path, phase: str, *, workers: int) -> tuple[Process, Path]:
    """A run that waits in a phase, and the marker beside which a file lets it go."""
    where, call = PHASES[phase]
    marker = folder / "here"
    fault = ("pausing", {"where": where, "call": call, "marker": str(marker)})
    flags = settings(images, workers=workers, groups_from="baseline")
    process = bench.start(folder, *flags, "--out", "run", fault=fault)
    while not marker.exists():
        assert process.wait(0.002) is None, process.output.read_text()
    return process, marker


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_worker_is_named(
    bench: Bench, images: Path, settled_by_baseline: Outcome, tmp_path: Path, phase: str
) -> None:
    """Never a run that waits for it."""
    process, marker = paused(bench, images, tmp_path, phase, workers=2)
    workers = [number for number in process.left_over() if number != process.number]
    assert len(workers) >= 2
    os.kill(workers[0], signal.SIGKILL)
    marker.with_name("here.go").touch()
    done = process.done(seconds=20)
    assert "Traceback" not in done.output and "Exception ignored" not in done.output
    assert not process.left_over()
    if done.status == 0:
        # It had read all that there was to read.
        assert phase == "measuring the confusion"
        assert outcome(tmp_path / "run") == settled_by_baseline
        return
    assert done.status == 2, done.output
    line = done.output.splitlines()[-1]
    assert line.startswith("ssal: a process that reads images")
    assert "often for want of memory" in line and "ssal train --resume run" in line
    again = bench.run(tmp_path, "train", "--resume", "run", "--workers", 1)
    assert again.status == 0, again.output
    assert outcome(tmp_path / "run") == settled_by_baseline


def test_a_worker_lost_in_the_same_moment_does_not_hide_the_signal(
    bench: Bench, images: Path, settled_by_baseline: Outcome, tmp_path: Path
) -> None:
    """A signal to the group may end a process that has only just been started."""
    process, marker = paused(bench, images, tmp_path, "looking at the held-out part", workers=2)
    workers = [number for number in process.left_over() if number != process.number]
    process.signal(signal.SIGTERM)
    os.kill(workers[0], signal.SIGKILL)
    marker.with_name("here.go").touch()
    done = process.done(seconds=20)
    assert done.status == 128 + signal.SIGTERM, done.output
    assert "stopped by SIGTERM; go on with: ssal train --resume run" in done.output
    again = bench.run(tmp_path, "train", "--resume", "run", "--workers", 1)
    assert again.status == 0, again.output
    assert outcome(tmp_path / "run") == settled_by_baseline


def test_a_terminated_worker_lives_on_for_its_parent(
    bench: Bench, images: Path, settled_by_baseline: Outcome, tmp_path: Path
) -> None:
    process, marker = paused(bench, images, tmp_path, "training", workers=1)
    for number in process.left_over():
        if number != process.number:
            os.kill(number, signal.SIGTERM)
    process.signal(signal.SIGTERM)
    marker.with_name("here.go").touch()
    assert process.done(seconds=20).status == 143
    assert not process.left_over()
    again = bench.run(tmp_path, "train", "--resume", "run", "--workers", 0)
    assert again.status == 0, again.output
    assert outcome(tmp_path / "run") == settled_by_baseline
