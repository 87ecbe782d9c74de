"""Killed without a warning at any moment, a run goes on as if nothing had happened."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .bench import Bench, Fault, Outcome, Process, make_images, outcome, places, settings

SLOW_DISK = ("slow", {"seconds": 0.01})
STATES = (".last.ckpt.", ".previous.ckpt.", ".baseline.ckpt.", ".model.safetensors.", ".metrics.csv.")


@dataclass
class Tally:
    """What the kills hit."""

    runs: int = 0
    kills: int = 0
    stages: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        stages = ", ".join(f"{count} {name}" for name, count in sorted(self.stages.items()))
        return f"{self.kills} kills over {self.runs} runs: {stages}"


def temporary_files(run: Path) -> list[str]:
    return [path.name for path in run.rglob(".*") if path.name.startswith(STATES)]


def hit(run: Path) -> str:
    """What was going on, by what is there."""
    if temporary_files(run):
        return "inside a save"
    if not (run / "config.yaml").exists():
        return "before the run was begun"
    if not (run / "checkpoints" / "baseline.ckpt").exists():
        return "in the baseline training"
    if (run / "metrics.json").exists():
        return "after the end"
    lines = (run / "metrics.csv").read_text().splitlines()
    if sum(line.startswith("joint,") for line in lines) < 3:
        return "in the joint training"
    return "at the end" if (run / "groups" / "2.json").exists() else "at the confusion and the groups"


def wait_for_a_save(process: Process, run: Path, choice: random.Random) -> bool:
    """Return within a save, a random one; whether there was one."""
    saves, seen = choice.randint(1, 12), set[str]()
    while process.wait(0) is None:
        seen.update(temporary_files(run))
        if len(seen) >= saves and temporary_files(run):
            return True
    return False


def survive(
    bench: Bench, images: Path, folder: Path, choice: random.Random, seconds: float, tally: Tally
) -> None:
    """A run that is killed several times, and then left alone."""
    run = folder / "run"
    folder.mkdir()
    tally.runs += 1
    for _ in range(choice.randint(2, 6)):
        aimed = choice.random() < 0.4
        process = begin(bench, images, folder, choice, SLOW_DISK if aimed else None)
        if aimed:
            wait_for_a_save(process, run, choice)
        else:
            time.sleep(choice.uniform(0, seconds))
        status = process.kill().status
        assert status in (0, -9), process.output.read_text()
        if status == 0:
            break
        tally.kills += 1
        tally.stages[hit(run)] += 1
    done = begin(bench, images, folder, choice).done()
    assert done.status == 0, done.output


def begin(bench: Bench, images: Path, folder: Path, choice: random.Random, fault: Fault = None) -> Process:
    """Start or go on, with any number of workers."""
    workers = choice.choice((0, 0, 1, 2))
    if (folder / "run" / "config.yaml").exists():
        return bench.start(folder, "train", "--resume", "run", "--workers", workers, fault=fault)
    return bench.start(folder, *settings(images, workers=workers), "--out", "run", fault=fault)


def kill_many(bench: Bench, images: Path, settled: Outcome, folder: Path, kills: int, seed: int) -> Tally:
    choice, tally = random.Random(seed), Tally()
    folder.mkdir(exist_ok=True)
    (folder / "timed").mkdir()
    started = time.monotonic()
    assert bench.run(folder / "timed", *settings(images), "--out", "run").status == 0
    seconds = time.monotonic() - started
    while tally.kills < kills:
        survive(bench, images, folder / str(tally.runs), choice, seconds, tally)
    for number in range(tally.runs):
        run = folder / str(number) / "run"
        assert outcome(run) == settled, run
        assert places(outcome(run).rows) == [(s, e) for s in ("baseline", "joint") for e in (1, 2, 3)]
        assert not temporary_files(run), run
    return tally


def test_twenty_kills(bench: Bench, images: Path, settled: Outcome, tmp_path: Path) -> None:
    tally = kill_many(bench, images, settled, tmp_path, kills=20, seed=0)
    assert tally.kills >= 20 and tally.stages["inside a save"] >= 3, tally
    print(tally)


@pytest.mark.slow
def test_two_hundred_kills(bench: Bench, images: Path, settled: Outcome, tmp_path: Path) -> None:
    tally = kill_many(bench, images, settled, tmp_path, kills=200, seed=1)
    assert tally.kills >= 200 and tally.stages["inside a save"] >= 30, tally
    print(tally)


def test_two_processes_are_killed(
    bench: Bench, images: Path, settled_by_two: Outcome, tmp_path: Path
) -> None:
    """Data-parallel training, one process for each half of a batch; killed inside an epoch."""
    process = bench.start(tmp_path, *settings(images, devices=2), "--out", "run", fault=SLOW_DISK)
    assert wait_for_a_save(process, tmp_path / "run", random.Random(2))
    assert process.kill().status == -9
    done = bench.run(tmp_path, "train", "--resume", "run")
    assert done.status == 0, done.output
    assert outcome(tmp_path / "run") == settled_by_two


def test_only_the_main_process_is_killed(
    bench: Bench, images: Path, settled: Outcome, tmp_path: Path
) -> None:
    """As the system does for want of memory; the processes that read images must not keep the lock."""
    process = bench.start(tmp_path, *settings(images, workers=2), "--out", "run")
    rows = tmp_path / "run" / "metrics.csv"
    while process.wait(0.005) is None and not rows.exists():
        pass
    process.signal(9)
    assert process.done().status == -9
    done = bench.run(tmp_path, "train", "--resume", "run")
    assert done.status == 0, done.output
    assert outcome(tmp_path / "run") == settled


def test_another_folder_of_images_is_noticed(bench: Bench, images: Path, tmp_path: Path) -> None:
    """The data may be moved while a run is away, but must be the same."""
    process = bench.start(tmp_path, *settings(images), "--out", "run")
    while process.wait(0.005) is None and not (tmp_path / "run" / "metrics.csv").exists():
        pass
    process.kill()
    moved = make_images(tmp_path / "moved")
    other = make_images(tmp_path / "other", count=27)
    done = bench.run(tmp_path, "train", "--resume", "run", other)
    assert done.status == 2
    done = bench.run(tmp_path, "train", other, "--resume", "run")
    assert done.status == 2 and "training images were 96, are 108" in done.output, done.output
    done = bench.run(tmp_path, "train", moved, "--resume", "run")
    assert done.status == 0, done.output
