"""Damaged files: a typed error or the state before, never a silent load."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import ssal
from ssal.checkpoint import load_state
from ssal.errors import RunError
from ssal.training import find_checkpoint

from .bench import Bench, Outcome, outcome, settings
from .networks import tiny

TRUNCATIONS, FLIPS = 64, 1000


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and (left == right or left != left)


def damages(whole: bytes, flips: int, seed: int) -> Iterator[bytes]:
    """The content cut off at 64 places, and with single bits flipped."""
    for part in range(TRUNCATIONS):
        yield whole[: len(whole) * part // TRUNCATIONS]
    choice = random.Random(seed)
    for _ in range(flips):
        damaged = bytearray(whole)
        damaged[choice.randrange(len(whole))] ^= 1 << choice.randrange(8)
        yield bytes(damaged)


@pytest.fixture(scope="module")
def broken_off(bench: Bench, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed inside the joint training."""
    folder = tmp_path_factory.mktemp("broken off")
    process = bench.start(folder, *settings(images), "--out", "run")
    rows = folder / "run" / "metrics.csv"
    while process.wait(0.005) is None and not (rows.exists() and "joint,1" in rows.read_text()):
        pass
    process.kill()
    return folder / "run"


def test_damaged_states_give_way_to_the_one_before(broken_off: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    last, previous = folder / "last.ckpt", folder / "previous.ckpt"
    whole, before = ((broken_off / "checkpoints" / path.name).read_bytes() for path in (last, previous))
    last.write_bytes(whole)
    state = load_state(last)
    harmless = 0
    for damaged in damages(whole, FLIPS, seed=0):
        for path, content in ((last, damaged), (previous, before)):
            path.unlink(missing_ok=True)
            path.write_bytes(content)
        found = find_checkpoint(folder)
        assert found is not None
        if found.note:
            assert found.path == previous and "going on from previous.ckpt" in found.note
            # What was damaged is not kept as the state before the next one.
            assert last.read_bytes() == before
        else:
            harmless += 1
            assert found.path == last and same(load_state(last), state)
    assert harmless < 0.05 * FLIPS


def test_two_damaged_states_are_an_error(broken_off: Path, tmp_path: Path) -> None:
    shutil.copytree(broken_off / "checkpoints", tmp_path / "both")
    for name in ("last.ckpt", "previous.ckpt"):
        os.truncate(tmp_path / "both" / name, 1000)
    with pytest.raises(RunError, match=r"last\.ckpt is damaged.*previous\.ckpt is damaged.*delete both"):
        find_checkpoint(tmp_path / "both")


@pytest.mark.parametrize("damage", ["cut off", "one bit", "gone"])
def test_a_run_goes_on_from_the_state_before(
    bench: Bench, settled: Outcome, broken_off: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(broken_off, tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 4
    last.unlink()
    if damage == "one bit":
        last.write_bytes(content)
    elif damage == "cut off":
        last.write_bytes(content[: len(content) // 3])
    done = bench.run(tmp_path, "train", "--resume", "run")
    assert done.status == 0, done.output
    assert "going on from previous.ckpt, the state before it" in done.output
    assert outcome(tmp_path / "run") == settled


@pytest.mark.parametrize("name", ["settings.ckpt", "baseline.ckpt", "seconds.ckpt"])
def test_other_damaged_states_are_named(
    bench: Bench, broken_off: Path, settled_run: Path, tmp_path: Path, name: str
) -> None:
    # No stage is timed before the end of both trainings.
    shutil.copytree(settled_run if name == "seconds.ckpt" else broken_off, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink(missing_ok=True)
    os.truncate(tmp_path / "run" / "checkpoints" / name, 200)
    done = bench.run(tmp_path, "train", "--resume", "run")
    assert done.status == 2, done.output
    assert done.output.splitlines()[-1].startswith(f"ssal: run/checkpoints/{name} is damaged")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_model_is_not_loaded(settled_run: Path, tmp_path: Path, name: str) -> None:
    """Either an error, or all that a prediction depends on is as it was."""
    shutil.copytree(settled_run / "model", tmp_path / "model")
    path = tmp_path / "model" / name
    whole = path.read_bytes()

    def content() -> list[Any]:
        saved = ssal.load(tmp_path / "model", backbone=tiny).saved
        parts = saved.combination
        return [
            saved.model.state_dict(),
            [spec.grouping.labels.tolist() for spec in saved.model.specs],
            saved.class_names,
            saved.preprocess.to_dict(),
            saved.exponents,
            None if parts is None else [parts.weight, parts.bias],
        ]

    expected, loaded, tried = content(), 0, 0
    for damaged in damages(whole, FLIPS // 4, seed=1):
        path.write_bytes(damaged)
        tried += 1
        try:
            assert same(content(), expected)
            loaded += 1
        except RunError:
            pass
    assert loaded < 0.1 * tried
