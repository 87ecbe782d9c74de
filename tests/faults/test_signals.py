"""SIGTERM and SIGINT in every phase: what can be saved is saved, and the run says how it goes on."""

import signal
from pathlib import Path

import pytest

from .bench import Bench, Done, Outcome, Process, outcome, settings

BATCH = "ssal.training.module:TrainingModule.training_step"
HELD_OUT = "ssal.training.module:TrainingModule.validation_step"
EPOCH_END = "ssal.training.module:TrainingModule.on_train_epoch_end"
FIRST_BATCH = "ssal.training.module:TrainingModule.on_train_start"
SAVE = "ssal.training.state:save_state"
CONFUSION = "ssal.run.stages:SoftConfusion.update"
GROUPS = "ssal.run.job:make_groupings"
EXPONENTS = "ssal.run.finish:fit_exponents"
MODEL = "ssal.run.saved:write_bytes"
TEST = "ssal.run.finish:measure"
MAPS = "ssal.run.finish:check_model"
ADVICE = "go on with: ssal train --resume run"


def paused(bench: Bench, images: Path, folder: Path, where: str, call: int, **changes: object) -> Process:
    """A run, begun or gone on with, that waits in a phase."""
    for marker in ("here", "here.go"):
        (folder / marker).unlink(missing_ok=True)
    fault = ("pausing", {"where": where, "call": call, "marker": str(folder / "here")})
    begun = (folder / "run" / "config.yaml").exists()
    flags = ["train", "--resume", "run"] if begun else [*settings(images, **changes), "--out", "run"]
    process = bench.start(folder, *flags, fault=fault)
    while not (folder / "here").exists():
        assert process.wait(0.002) is None, process.output.read_text()
    return process


def let_go(process: Process, folder: Path) -> Done:
    (folder / "here.go").touch()
    return process.done(seconds=30)


def stopped_in_order(process: Process, done: Done, signum: int, advice: str = ADVICE) -> None:
    """The exit status of the signal, one line that says how to go on, and nothing left behind."""
    message = f"stopped by {signal.Signals(signum).name}"
    assert done.status == 128 + signum, done.output
    assert done.output.splitlines()[-1] == f"ssal: {message}; {advice}"
    assert done.output.count("stopped by") == 1
    assert "Traceback" not in done.output and "Exception ignored" not in done.output, done.output
    assert not process.left_over()
    run = process.output.parent / "run"
    if advice == ADVICE:
        assert (run / "train.log").read_text().endswith(f"{message}\n")
        assert not [path for path in run.rglob(".*") if path.name != ".lock"]


def goes_on(bench: Bench, folder: Path, settled: Outcome) -> None:
    done = bench.run(folder, "train", "--resume", "run")
    assert done.status == 0, done.output
    assert outcome(folder / "run") == settled


@pytest.mark.parametrize("groups_from", ["training", "baseline"])
def test_terminated_in_every_phase(
    bench: Bench,
    images: Path,
    settled: Outcome,
    settled_by_baseline: Outcome,
    tmp_path: Path,
    groups_from: str,
) -> None:
    """One run, which is stopped in one phase after the other."""
    before_the_joint_training = {"training": [], "baseline": [(CONFUSION, 1, 0), (GROUPS, 1, 0)]}
    inside_it = {"training": [(GROUPS, 1, 0)], "baseline": []}
    for where, call, again in [
        (FIRST_BATCH, 1, 0),
        (BATCH, 5, 0),
        (BATCH, 3, 0),  # the last batch of an epoch
        (HELD_OUT, 1, 0),
        (SAVE, 3, 2),
        (EPOCH_END, 1, 0),
        *before_the_joint_training[groups_from],
        (FIRST_BATCH, 1, 0),
        *inside_it[groups_from],
        (BATCH, 3, 3),
        (HELD_OUT, 1, 0),
        (SAVE, 1, 0),
        (EXPONENTS, 1, 0),
        (MODEL, 1, 0),
        (TEST, 1, 0),
        (MAPS, 1, 0),
    ]:
        asked = {"explanation_images": 2, "groups_from": groups_from}
        process = paused(bench, images, tmp_path, where, call, **asked)
        for _ in range(1 + again):
            process.signal(signal.SIGTERM)
        stopped_in_order(process, let_go(process, tmp_path), signal.SIGTERM)
    goes_on(bench, tmp_path, {"training": settled, "baseline": settled_by_baseline}[groups_from])


def test_interrupted_from_the_keyboard(bench: Bench, images: Path, settled: Outcome, tmp_path: Path) -> None:
    """Once in good order; twice at once, without another batch."""
    for where, call in [(BATCH, 2), (HELD_OUT, 1), (GROUPS, 1)]:
        process = paused(bench, images, tmp_path, where, call)
        process.signal(signal.SIGINT)
        stopped_in_order(process, let_go(process, tmp_path), signal.SIGINT)
    for first in (signal.SIGINT, signal.SIGTERM):
        process = paused(bench, images, tmp_path, BATCH, 2)
        process.signal(first)
        assert process.wait(0.2) is None
        process.signal(signal.SIGINT)
        stopped_in_order(process, process.done(seconds=10), signal.SIGINT)
    goes_on(bench, tmp_path, settled)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_before_anything_is_written(bench: Bench, images: Path, tmp_path: Path, signum: int) -> None:
    process = paused(bench, images, tmp_path, "ssal.run.prepare:open_data", 1)
    process.signal(signum)
    stopped_in_order(process, let_go(process, tmp_path), signum, "nothing was written")
    assert not (tmp_path / "run").exists()


def test_the_whole_group_hears_of_it(
    bench: Bench, images: Path, settled_by_baseline: Outcome, tmp_path: Path
) -> None:
    """As schedulers and terminals do; processes that read images hear it too."""
    for where, call, signum in [
        (BATCH, 5, signal.SIGTERM),
        (HELD_OUT, 1, signal.SIGINT),
        (BATCH, 2, signal.SIGINT),
        (HELD_OUT, 1, signal.SIGTERM),
        (CONFUSION, 1, signal.SIGTERM),
    ]:
        process = paused(bench, images, tmp_path, where, call, workers=2, groups_from="baseline")
        process.signal_group(signum)
        stopped_in_order(process, let_go(process, tmp_path), signum)
    goes_on(bench, tmp_path, settled_by_baseline)


def test_data_parallel_processes_stop_together(
    bench: Bench, images: Path, settled_by_two: Outcome, tmp_path: Path
) -> None:
    for call, signum, to_all in [(5, signal.SIGTERM, False), (2, signal.SIGINT, True)]:
        process = paused(bench, images, tmp_path, BATCH, call, devices=2)
        (process.signal_group if to_all else process.signal)(signum)
        stopped_in_order(process, let_go(process, tmp_path), signum)
    goes_on(bench, tmp_path, settled_by_two)
