"""Fifty unreadable files among a thousand: said, left out, or reported row by row."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ..test_cli import ssal
from .sound import write_run

CLASSES, EACH, BAD = 10, 100, 50
QUICK = ("--model", "resnet18_cifar", "--width", 4, "--epochs", 1, "--groups", "2", "--precision", "32")
RUBBISH = (b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + bytes(100), b"GIF89a")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A thousand files in ten folders, and the names of those that are none."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    broken = set(rng.choice(CLASSES * EACH, BAD, replace=False).tolist())
    for label in range(CLASSES):
        (root / f"class {label}").mkdir()
    names: set[str] = set()
    for number in range(CLASSES * EACH):
        path = root / f"class {number % CLASSES}" / f"{number:04}.png"
        level = 20 * (number % CLASSES) + 20
        pixels = np.clip(rng.normal(level, 10, (8, 8)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        if number in broken:
            whole = path.read_bytes()
            # Half of them are cut short, as by a disk that was full.
            path.write_bytes(
                whole[: len(whole) // 2] if len(names) % 2 else RUBBISH[len(names) % len(RUBBISH)]
            )
            names.add(str(path))
    return root, names


def test_training_lists_every_file_and_does_not_start(photos: tuple[Path, set[str]], tmp_path: Path) -> None:
    root, broken = photos
    done = ssal("train", root, *QUICK, "--out", tmp_path / "run")
    assert done.returncode == 2
    head, *lines = done.stderr.splitlines()
    assert head.startswith(f"ssal: {BAD} of {CLASSES * EACH} images cannot be read; skip_bad (--skip-bad)")
    assert {line.split("'")[1] for line in lines} == broken and len(lines) == BAD
    assert not (tmp_path / "run").exists()


def test_training_without_them_uses_exactly_the_rest(photos: tuple[Path, set[str]], tmp_path: Path) -> None:
    root, broken = photos
    done = ssal("train", root, *QUICK, "--skip-bad", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    left_out = [line for line in lines if line.startswith("left out: ")]
    assert {line.split("'")[1] for line in left_out} == broken and len(left_out) == BAD
    counts = next(line for line in lines if "images to train on" in line).replace(",", "").split()
    fitting, held, test = (
        int(counts[counts.index(word) + by]) for word, by in (("images", -1), ("held", -1), ("test", -2))
    )
    assert fitting + held + test == CLASSES * EACH - BAD
    table = pq.read_table(tmp_path / "run" / "eval" / "predictions.parquet")
    assert table.num_rows == test
    again = ssal("eval", tmp_path / "run")
    assert again.returncode == 0, again.stderr
    measured = pq.read_table(tmp_path / "run" / "eval" / "predictions.parquet")
    assert measured.select(["index", "target"]).equals(table.select(["index", "target"]))
    assert (tmp_path / "run" / "train.log").read_text().count("left out: ") == BAD


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_prediction_gives_one_row_each(photos: tuple[Path, set[str]], tmp_path: Path, kind: str) -> None:
    root, broken = photos
    out = tmp_path / f"rows.{kind}"
    done = ssal("predict", write_run(tmp_path / "run"), root, "--out", out)
    assert done.returncode == 1
    assert done.stdout.strip() == f"{CLASSES * EACH - BAD} predictions in {out}"
    assert f"ssal: {BAD} of {CLASSES * EACH} images could not be read" in done.stderr
    with out.open() as file:
        rows = list(csv.DictReader(file) if kind == "csv" else map(json.loads, file))
    assert [row["file"] for row in rows] == sorted(map(str, root.rglob("*.png")))
    assert {row["file"] for row in rows if row["error"]} == broken
    assert all(row["file"] in row["error"] for row in rows if row["error"])
    assert all(row["class"] for row in rows if not row["error"])
