"""`ssal explain --check`: from a run directory to its explanations.json."""

import json
import sys
from pathlib import Path

import pytest
import torch

from ssal.backbones import create_backbone
from ssal.cli import main
from ssal.config import make_settings, to_yaml
from ssal.data import open_data
from ssal.errors import InputError, RunError
from ssal.evidence.faithfulness import as_record
from ssal.grouping import Grouping
from ssal.joint import Exponents
from ssal.model import Branch, SSALModel
from ssal.run.backbone import BackboneSpec
from ssal.run.faithfulness import QUICK, CheckOptions, check_model, check_run, write_checks
from ssal.run.saved import SavedModel, load_model, save_model

FAST = CheckOptions(images=5, steps=4, pairs=1, weight_draws=1)
BAD_INPUT = 2


def make_run(
    folder: Path, *, seed: int, data: str = "digits", taps: tuple[str, ...] = ("layer1", "layer2")
) -> Path:
    """A run of random weights on digits, finished as far as checks are concerned."""
    torch.manual_seed(seed)
    bundle = open_data("digits")
    branches = [Branch(tap, Grouping.random(10, 3, seed=seed), layout="cbr 8 | gap") for tap in taps]
    backbone = create_backbone("resnet18_cifar", 10, in_chans=1, width=4)
    saved = SavedModel(
        model=SSALModel(backbone, branches, (1, 8, 8)),
        backbone=BackboneSpec(name="resnet18_cifar", num_classes=10, in_chans=1, input_size=(8, 8), width=4),
        class_names=bundle.class_names,
        preprocess=bundle.preprocess,
        exponents=Exponents(0.9, tuple(0.5 for _ in taps)),
    )
    save_model(folder / "model", saved, "0")
    settings = make_settings({"data": data, "width": 4, "method": "random", "precision": "32"})
    (folder / "config.yaml").write_text(to_yaml(settings))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("checks")
    return make_run(folder / "one", seed=1), make_run(folder / "two", seed=2)


def ssal(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ssal", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_check_prints_a_table_and_writes_a_file(
    runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = runs
    options = ("--images", 6, "--against", two, "--seed", 3, "--baseline", "mean")
    assert ssal(monkeypatch, "explain", one, "--check", *options) == 0
    out, err = capsys.readouterr()
    path = one / "eval" / "explanations.json"
    assert err == ""
    assert out.startswith(
        f"{one}: 6 images, 16 steps, 4 random maps an image; a removed pixel takes the mean"
    )
    assert out.endswith(f"\n\nsaved in {path}\n")
    record = json.loads(path.read_text())
    assert (record["images"], record["seed"], record["baseline"]) == (6, 3, "mean")
    assert [part["part"] for part in record["parts"]] == ["main", "layer1", "layer2", "joint"]
    assert record["against"]["run"] == str(two) and record["against"]["method"] == "random"
    assert [part["part"] for part in record["against"]["parts"]] == ["main", "layer1", "layer2", "joint"]
    assert all(f"- {line}" in out for line in record["findings"])
    assert [file.name for file in path.parent.iterdir()] == ["explanations.json"]


def test_the_file_goes_where_it_is_told(runs: tuple[Path, Path], tmp_path: Path) -> None:
    checks, path = check_run(runs[0], FAST, out=tmp_path / "deep" / "er")
    assert path == tmp_path / "deep" / "er" / "explanations.json"
    assert json.loads(path.read_text()) == as_record(checks)
    again, _ = check_run(runs[0], FAST, out=tmp_path)
    assert again == checks


def test_an_open_model_is_checked_on_the_images_at_hand(runs: tuple[Path, Path], tmp_path: Path) -> None:
    saved = load_model(runs[0] / "model")
    test = open_data("digits").test
    checks = check_model(saved, test, FAST)
    assert checks == check_run(runs[0], FAST, out=tmp_path)[0]
    few = check_model(saved, test.select(range(3)), FAST)
    assert few.images == 3 and few.parts[0].subject.name == "main"
    assert write_checks(few, tmp_path / "eval").is_file()
    assert (QUICK.images, QUICK.baseline) == (48, "blur")
    with pytest.raises(InputError, match="two images at least, not 1 of "):
        check_model(saved, test, CheckOptions(images=1))
    with pytest.raises(InputError, match="two images at least, not 48 of 1 test"):
        check_model(saved, test.select([0]))


def test_a_model_without_branches_can_be_checked(tmp_path: Path) -> None:
    checks, _ = check_run(make_run(tmp_path / "plain", seed=1, taps=()), FAST)
    assert [part.subject.name for part in checks.parts] == ["main"]


def test_runs_that_do_not_belong_together_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", seed=1, data="glyphs")
    with pytest.raises(RunError, match="cannot be compared: their data differ: digits and glyphs"):
        check_run(runs[0], FAST, against=other, out=tmp_path)


def test_bad_input_is_one_line(
    runs: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, _ = runs
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "config.yaml").write_text("data: digits\n")
    for arguments, words in (
        ((one,), "which image?"),
        ((one, "image.png", "--check"), "leave 'image.png' out"),
        ((one, "image.png", "--images", 5), "--images belongs to --check"),
        ((one, "image.png", "--against", one), "--against belongs to --check"),
        ((one, "--check", "--images", 1), "two images at least"),
        ((one, "--check", "--seed", -1), "seed must be 0 at least"),
        ((one, "--check", "--baseline", "grey"), "unknown baseline 'grey'"),
        ((tmp_path / "nowhere", "--check"), "no finished run in"),
        ((unfinished, "--check"), "no finished run in"),
        ((one, "--check", "--against", tmp_path / "nowhere"), "no finished run in"),
    ):
        assert ssal(monkeypatch, "explain", *arguments) == BAD_INPUT
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("ssal: ") and words in err
        assert len(err.splitlines()) == 1
