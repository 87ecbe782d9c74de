import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssal.backbones import create_backbone
from ssal.cli import main
from ssal.data import Preprocess
from ssal.errors import DataError, InputError
from ssal.evidence import Evidence
from ssal.grouping import Grouping
from ssal.joint import Exponents
from ssal.model import Branch, SSALModel
from ssal.run import load
from ssal.run.backbone import BackboneSpec
from ssal.run.explained import file_name
from ssal.run.saved import SavedModel, save_model

NAMES = ("cat", "<script>alert(1)</script>", "red\x1b[31m", "../up", "$x^2$", "dog")
BAD_INPUT = 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with random weights, and branches of three kinds."""
    torch.manual_seed(1)
    spec = BackboneSpec(name="resnet18_cifar", num_classes=6, in_chans=1, input_size=(16, 16), width=8)
    branches = [
        Branch("layer1", Grouping.random(6, 2, seed=0, class_names=NAMES)),
        Branch("layer1", Grouping.random(6, 3, seed=1, class_names=NAMES), layout="cbr 8 | gap | dense 8"),
        Branch("global_pool", Grouping.random(6, 3, seed=2, class_names=NAMES), layout="dense 8"),
    ]
    backbone = create_backbone("resnet18_cifar", 6, in_chans=1, width=8)
    saved = SavedModel(
        model=SSALModel(backbone, branches, (1, 16, 16)),
        backbone=spec,
        class_names=NAMES,
        preprocess=Preprocess(1, (16, 16), mean=(0.5,), std=(0.5,)),
        exponents=Exponents(0.9, (0.7, 0.4, 0.0)),
    )
    folder = tmp_path_factory.mktemp("explain") / "run"
    save_model(folder / "model", saved, "0")
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
    path = tmp_path / "a letter.v2.png"
    Image.fromarray(pixels).save(path)
    return path


def ssal(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ssal", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_explain_prints_the_sum_and_writes_the_files(
    run: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ssal(monkeypatch, "explain", run, picture) == 0
    folder = run / "explain" / "a_letter.v2"
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"{picture}: ") and f"saved in {folder}" in out
    assert "decided by " in out and "without it" in out and "main classifier" in out
    assert all(character.isprintable() or character == "\n" for character in out)

    # The third branch reads vectors.
    names = {"explain.png", "evidence.json", "0-main.png", "1-layer1.png", "2-layer1.png"}
    assert {file.name for file in folder.iterdir()} == names
    for name in names - {"evidence.json"}:
        with Image.open(folder / name) as image:
            image.load()
            assert image.format == "PNG" and max(image.size) >= 256

    record = json.loads((folder / "evidence.json").read_text())
    prediction = load(run).predict(picture)
    assert record["file"] == str(picture)
    assert record["class"] == prediction.class_name
    assert record["probability"] == pytest.approx(prediction.probability, abs=1e-5)
    assert [row["class"] for row in record["candidates"]] == [name for name, _ in prediction.top]
    for place, row in enumerate(record["candidates"]):
        terms = [part["terms"][place] for part in record["parts"]]
        assert {term["class"] for term in terms} == {row["class"]}
        assert sum(term["term"] for term in terms) == pytest.approx(row["sum"])
        assert row["sum"] - record["log_normaliser"] == pytest.approx(row["log_probability"])
    for part, group in zip(record["parts"][1:], prediction.groups, strict=True):
        assert (part["tap"], part["group"], part["agrees"]) == (group.tap, group.group, group.agrees)
        assert part["members"] == list(group.members)
        assert part["probability"] == pytest.approx(group.probability, abs=1e-5)
    assert [part["map"] and part["map"]["method"] for part in record["parts"]] == [
        "HiResCAM",
        "HiResCAM",
        "Grad-CAM",
        None,
    ]
    assert [part["map"]["file"] for part in record["parts"][:3]] == [
        "0-main.png",
        "1-layer1.png",
        "2-layer1.png",
    ]
    assert record["agreement"] == prediction.agreement
    assert record["decided_by"] in {part["part"] for part in record["parts"]}


def test_explain_writes_where_it_is_told(
    run: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ssal(monkeypatch, "explain", run, picture, "--out", tmp_path / "deep" / "er") == 0
    assert (tmp_path / "deep" / "er" / "explain.png").stat().st_size > 10_000


def test_explain_takes_any_image(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (90, 60, 4), dtype=np.uint8)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "photo.png")
    assert ssal(monkeypatch, "explain", run, tmp_path / "photo.png", "--out", tmp_path / "out") == 0


def test_bad_input_is_one_line(
    run: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    for arguments, words in (
        ((run, broken), "broken.png"),
        ((run, tmp_path / "none.png"), "none.png"),
        ((run, tmp_path), "it is not a file"),
        ((tmp_path / "nowhere", picture), "no run directory at"),
    ):
        assert ssal(monkeypatch, "explain", *arguments) == BAD_INPUT
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("ssal: ") and words in err
        assert len(err.splitlines()) == 1
    assert not (run / "explain" / "broken").exists()


def test_an_unwritable_folder_is_an_error_of_one_line(
    run: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert ssal(monkeypatch, "explain", run, picture, "--out", tmp_path / "file" / "inside") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_predictor_explains_one_image_or_a_list(run: Path, picture: Path) -> None:
    predictor = load(run)
    one = predictor.explain(picture)
    assert isinstance(one, Evidence)
    assert one.class_names == NAMES and one.class_name == predictor.predict(picture).class_name
    with Image.open(picture) as image:
        several = predictor.explain([picture, image, np.asarray(image)])
    assert several == [one, one, one]
    assert predictor.explain([]) == []
    with pytest.raises(DataError, match="absent.png"):
        predictor.explain([picture, "absent.png"])


def test_the_main_classifier_alone_explains_nothing(run: Path, picture: Path) -> None:
    with pytest.raises(InputError, match="mode joint, not main"):
        load(run, "main").explain(picture)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layer1.0", "layer1.0"),
        ("../../etc/passwd", "_.._etc_passwd"),
        (".hidden", "hidden"),
        ("a\x1b[31m\u202eb", "a_31m_b"),
        ("größe", "größe"),
        ("..", "_"),
        ("x" * 300, "x" * 50),
    ],
)
def test_file_names_are_plain(text: str, expected: str) -> None:
    assert file_name(text) == expected
