"""Going on with changed settings, from the command line."""

import signal
from pathlib import Path

import pytest

from .bench import Bench, Outcome, outcome, rows, settings

BATCH = "ssal.training.module:TrainingModule.training_step"


def broken_off(bench: Bench, images: Path, folder: Path, call: int) -> None:
    """A run that was terminated at a training batch."""
    marker = folder / "here"
    fault = ("pausing", {"where": BATCH, "call": call, "marker": str(marker)})
    process = bench.start(folder, *settings(images), "--out", "run", fault=fault)
    while not marker.exists():
        assert process.wait(0.002) is None, process.output.read_text()
    process.signal(signal.SIGTERM)
    marker.with_name("here.go").touch()
    assert process.done().status == 143


def test_changed_settings_are_listed(bench: Bench, images: Path, settled: Outcome, tmp_path: Path) -> None:
    broken_off(bench, images, tmp_path, 5)
    flags = ["train", "--resume", "run", "--lr", 0.2, "--set", "optimizer.momentum=0.5", "--epochs", 2]
    done = bench.run(tmp_path, *flags)
    assert done.status == 2
    (line,) = done.output.splitlines()
    for part in ("lr was 0.1, asked 0.2", "optimizer.momentum was 0.9, asked 0.5", "epochs was 3, asked 2"):
        assert part in line
    # The command that began the run, and --resume; and what has no influence.
    done = bench.run(
        tmp_path, *settings(images, **{"checkpoint.steps": 5}), "--out", "run", "--resume", "run"
    )
    assert done.status == 0, done.output
    assert outcome(tmp_path / "run") == settled


def test_an_edited_configuration_is_noticed(bench: Bench, images: Path, tmp_path: Path) -> None:
    broken_off(bench, images, tmp_path, 5)
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("batch_size: 8", "batch_size: 12"))
    done = bench.run(tmp_path, "train", "--resume", "run")
    assert done.status == 2 and "batch_size was 8, config.yaml says 12" in done.output


def test_more_epochs_for_both_trainings(bench: Bench, images: Path, tmp_path: Path) -> None:
    """The learning rate is that of the longer triangle from the next batch on."""
    broken_off(bench, images, tmp_path, 12)
    done = bench.run(tmp_path, "train", "--resume", "run", "--epochs", 4)
    assert done.status == 0, done.output
    assert "4 epochs instead of 3: from here on, the learning rate is that of the longer" in done.output
    written = rows(tmp_path / "run")
    assert [(row["stage"], row["epoch"]) for row in written] == [
        (stage, str(epoch)) for stage in ("baseline", "joint") for epoch in (1, 2, 3, 4)
    ]
    # Begun as one of three epochs, ended as one of four.
    baseline, joint = [[float(row["lr"]) for row in written[part]] for part in (slice(0, 4), slice(4, 8))]
    assert baseline[0] != joint[0]
    assert baseline[2:] == pytest.approx(joint[2:])
    done = bench.run(tmp_path, "train", "--resume", "run", "--epochs", 5)
    assert done.status == 2 and "the baseline has had its 4" in done.output
