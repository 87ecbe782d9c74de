"""A disk that is full or broken: the run names the file and ends; the states before are as they were."""

import json
from pathlib import Path

import pytest

from ssal.training import find_checkpoint

from .bench import Bench, Done, Outcome, digest, outcome, settings

STATES = ("last.ckpt", "previous.ckpt", "baseline.ckpt", "settings.ckpt", "best.ckpt")
FAULTS = {"write": "ENOSPC", "flush": "EIO", "rename": "EIO"}
REASONS = {"ENOSPC": "No space left on device", "EIO": "Input/output error", "EFBIG": "File too large"}


def states(run: Path) -> dict[str, str]:
    return {
        name: digest(run / "checkpoints" / name) for name in STATES if (run / "checkpoints" / name).exists()
    }


def go(
    bench: Bench, images: Path, folder: Path, fault: tuple[str, dict[str, object]] | None, **more: object
) -> Done:
    begun = (folder / "run" / "config.yaml").exists()
    flags = ["train", "--resume", "run"] if begun else [*settings(images, **more), "--out", "run"]
    return bench.run(folder, *flags, fault=fault)


def failed_in_order(folder: Path, done: Done, code: str) -> None:
    """One line with the file; the states as they were at the moment of the fault, one of them whole."""
    run = folder / "run"
    assert done.status == 1, done.output
    last = done.output.splitlines()[-1]
    assert last.startswith("ssal: ") and REASONS[code] in last and "'run/" in last, done.output
    assert "Traceback" not in done.output, done.output
    witness = folder / "run.witness"
    if witness.exists():
        assert states(run) == {k: v for k, v in json.loads(witness.read_text()).items() if k in STATES}
        witness.unlink()
    find_checkpoint(run / "checkpoints")
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]


@pytest.mark.parametrize("call", FAULTS)
def test_one_fault_after_the_other(
    bench: Bench, images: Path, settled: Outcome, tmp_path: Path, call: str
) -> None:
    """Call 1, 2, … of a process fails, and all after it; the next process goes on with what is there."""
    code = FAULTS[call]
    for number in range(1, 200):
        fault = ("failing", {"call": call, "number": number, "code": code, "run": "run"})
        done = go(bench, images, tmp_path, fault)
        if done.status == 0:
            break
        failed_in_order(tmp_path, done, code)
    assert number > 5
    assert outcome(tmp_path / "run") == settled


@pytest.mark.slow
@pytest.mark.parametrize("call", FAULTS)
def test_each_fault_alone(bench: Bench, images: Path, settled: Outcome, tmp_path: Path, call: str) -> None:
    """Call number N fails for N = 1, 2, … until none does; each time, the run goes on to the same end."""
    code = FAULTS[call]
    for number in range(1, 400):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = ("failing", {"call": call, "number": number, "code": code, "run": "run"})
        done = go(bench, images, folder, fault)
        if done.status == 0:
            break
        failed_in_order(folder, done, code)
        again = go(bench, images, folder, None)
        assert again.status == 0, again.output
        assert outcome(folder / "run") == settled
    print(f"{number - 1} faults of {call}")


def test_the_kernel_refuses_large_files(bench: Bench, images: Path, settled: Outcome, tmp_path: Path) -> None:
    """No injection: a limit of the process, below the size of a state."""
    done = go(bench, images, tmp_path, ("small_files", {"largest": 9000}))
    failed_in_order(tmp_path, done, "EFBIG")
    assert ".ckpt'" in done.output.splitlines()[-1]
    assert go(bench, images, tmp_path, None).status == 0
    assert outcome(tmp_path / "run") == settled


def test_without_hard_links(bench: Bench, images: Path, settled: Outcome, tmp_path: Path) -> None:
    """As on some file systems of networks and memory cards: the state before the last one is copied."""
    done = go(
        bench, images, tmp_path, ("failing", {"call": "link", "number": 1, "code": "EPERM", "run": "run"})
    )
    assert done.status == 0, done.output
    assert outcome(tmp_path / "run") == settled
    folder = tmp_path / "run" / "checkpoints"
    assert digest(folder / "previous.ckpt") != digest(folder / "last.ckpt")
