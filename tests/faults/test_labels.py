"""Labels and class counts that cannot be trained on are named before a network is built; odd ones run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import ssal as library
from ssal.config import make_settings
from ssal.confusion import DENSE_LIMIT, sparse_confusion
from ssal.data import ArraySet, RawData, SourceOptions, open_data, register_source, sources
from ssal.errors import DataError, InputError
from ssal.grouping import Grouping, group_classes
from ssal.joint import MOST_COEFFICIENTS, LinearCombination, Outputs
from ssal.run import start_training
from ssal.run.resolve import check_confusion

from ..test_cli import refused, ssal

QUICK = ("--model", "resnet18_cifar", "--width", 4, "--epochs", 1, "--precision", "32", "--taps", "layer2")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a network is built."""

    def build(*_: Any, **__: Any) -> None:
        raise AssertionError("a network was built before the data were checked")

    for module in ("prepare", "job"):
        monkeypatch.setattr(f"ssal.run.{module}.create_backbone", build)


def folder(root: Path, **counts: int) -> Path:
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng([label, number]).integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def arrays(labels: list[int], names: tuple[str, ...] = ("ant", "bee", "cat")) -> ArraySet:
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    return ArraySet(pixels, labels, names)


@pytest.mark.usefixtures("no_network")
def test_folders_with_too_few_images_are_named(tmp_path: Path) -> None:
    for counts, part in [
        ({"ant": 1, "bee": 1}, "a single image"),
        ({"ant": 9, "bee": 1}, "class 'bee' has a single image"),
        ({"ant": 9, "bee": 2}, "only 2 images; at least 3 per class"),
        ({"ant": 9, "bee": 0, "cat": 9}, "class 'bee' has no image"),
        ({"ant": 9}, "at least 2 classes are needed"),
    ]:
        root = folder(tmp_path / "-".join(f"{name}{count}" for name, count in counts.items()), **counts)
        refused(ssal("train", root, *QUICK, "--out", tmp_path / "run"), part)
        # Told before anything is written.
        assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("train", "test", "part"),
    [
        ({"ant": 1, "bee": 4}, {"ant": 1}, "class 'ant' has a single image"),
        ({"ant": 4, "bee": 0}, {"ant": 1}, "class 'bee' has no image"),
        ({"ant": 4, "bee": 4}, {"ant": 1, "wasp": 2}, "class 'wasp' that the training data lack"),
    ],
)
def test_parts_that_do_not_fit_are_named(
    tmp_path: Path, train: dict[str, int], test: dict[str, int], part: str
) -> None:
    folder(tmp_path / "data" / "train", **train)
    folder(tmp_path / "data" / "test", **test)
    refused(ssal("train", tmp_path / "data", *QUICK, "--out", tmp_path / "run"), part)


def features(names: list[str]) -> dict[bytes, bytes]:
    declared = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    return {b"huggingface": json.dumps({"info": {"features": declared}}).encode()}


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("wrong", [-1, -2, 3, 1000, 2**31, 2**62, -(2**62)])
def test_a_label_that_no_class_has_is_named(tmp_path: Path, wrong: int) -> None:
    labels = [0, 1, 2] * 4
    labels[7] = wrong
    table = pa.table({"image": pa.array([b"x"] * 12, pa.binary()), "label": pa.array(labels, pa.int64())})
    declared = table.replace_schema_metadata(features(["ant", "bee", "cat"]))
    pq.write_table(declared, tmp_path / "declared.parquet")
    refused(
        ssal("train", tmp_path / "declared.parquet", *QUICK, "--out", tmp_path / "run"), str(wrong), "row 7"
    )
    with pytest.raises(DataError, match=f"label {wrong}"):
        arrays(labels)
    if wrong < 0:
        pq.write_table(table, tmp_path / "bare.parquet")
        refused(ssal("train", tmp_path / "bare.parquet", *QUICK), str(wrong), "class ids count from 0")


def test_one_image_more_than_needed_runs(tmp_path: Path) -> None:
    """Three images a class: one to fit, one to hold out, one to test on."""
    root = folder(tmp_path / "data", **{f"class {number}": 3 for number in range(5)})
    done = ssal("train", root, *QUICK, "--groups", "2", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "5 images to train on" in done.stdout and "5 to test on" in done.stdout


def test_a_class_without_test_images_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_SOURCES", dict(sources._SOURCES))

    @register_source("lopsided")
    def lopsided(options: SourceOptions) -> RawData:
        return RawData(arrays([0, 1, 2] * 4), arrays([1, 1, 1]))

    run = start_training(
        make_settings({"data": "lopsided", "width": 4, "epochs": 1, "groups": "all", "precision": "32"}),
        tmp_path / "run",
    )
    assert 0 <= run.metrics["JP"]["top1"] <= 100


@pytest.mark.usefixtures("no_network")
def test_a_grouping_for_other_classes_is_refused(tmp_path: Path) -> None:
    Grouping.random(12, 3, seed=0).save(tmp_path / "twelve.json")
    (tmp_path / "nine.txt").write_text("0\n1\n2\n" * 3)
    for name, count in (("twelve.json", 12), ("nine.txt", 9)):
        done = ssal("train", "digits", *QUICK, "--groups", tmp_path / name, "--out", tmp_path / "run")
        refused(done, f"groups {count} classes, the data have 10")


def test_a_grouping_with_other_class_names_is_refused(tmp_path: Path) -> None:
    """As many classes, but others, or in another order: the ids of the file mean something else."""
    names = [str(number) for number in range(10)]
    labels = [0, 1] * 5
    Grouping.from_labels(labels, class_names=names[::-1]).save(tmp_path / "turned.json")
    Grouping.from_labels(labels, class_names=[f"cat {name}" for name in names]).save(tmp_path / "cats.json")
    Grouping.from_labels(labels, class_names=names).save(tmp_path / "same.json")
    turned = ssal("train", "digits", *QUICK, "--groups", tmp_path / "turned.json", "--out", tmp_path / "run")
    assert turned.returncode == 0, turned.stderr
    # The same classes in another order are matched by name.
    found = Grouping.load(tmp_path / "run" / "groups" / "layer2.json")
    assert found.labels.tolist() == labels[::-1] and found.class_names == tuple(names)
    other = ssal("train", "digits", *QUICK, "--groups", tmp_path / "cats.json", "--out", tmp_path / "other")
    refused(other, "cats.json", "'cat 0'")
    Grouping.from_labels([0] * 10).save(tmp_path / "one.json")
    one = ssal("train", "digits", *QUICK, "--groups", tmp_path / "one.json", "--out", tmp_path / "other")
    refused(one, "one.json", "at least 2 groups")
    assert not (tmp_path / "other").exists()


class TestTenThousandAndOneClasses:
    """One more than are held in a dense matrix of counts."""

    CLASSES = DENSE_LIMIT + 1

    def test_data_are_opened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sources, "_SOURCES", dict(sources._SOURCES))
        names = tuple(f"class {number}" for number in range(self.CLASSES))

        @register_source("many")
        def many(options: SourceOptions) -> RawData:
            labels = list(range(self.CLASSES)) * 2
            pixels = np.zeros((len(labels), 4, 4, 1), np.uint8)
            images = ArraySet(pixels, labels, names)
            return RawData(images, images)

        assert len(open_data("many").class_names) == self.CLASSES

    def test_groups_are_formed_from_sparse_counts(self) -> None:
        rng = np.random.default_rng(0)
        true = np.arange(self.CLASSES).repeat(3)
        predicted = np.clip(true + rng.integers(-2, 3, len(true)), 0, self.CLASSES - 1)
        grouping = group_classes(sparse_confusion(predicted, true, self.CLASSES), 100)
        assert set(np.unique(grouping.sizes)) == {100, 101}

    def test_a_linear_combination_is_not_tried(self) -> None:
        logits = np.broadcast_to(np.float32(0), (1, self.CLASSES))
        import torch

        outputs = Outputs(torch.from_numpy(logits.copy()), (torch.zeros(1, 100),))
        assert LinearCombination.count_coefficients(outputs) > MOST_COEFFICIENTS
        with pytest.raises(InputError, match=r"101,020,101 coefficients; at most 6,000,000"):
            LinearCombination.fit(outputs, torch.zeros(1, dtype=torch.int64))

    def test_what_would_not_fit_into_memory_is_refused_at_once(self) -> None:
        check_confusion(make_settings({"data": "x"}), (20, "all"), self.CLASSES)
        for fitting in (
            {"groups_from": "baseline", "confusion": "hard"},
            {"method": "random", "confusion": "hard"},
        ):
            check_confusion(make_settings({"data": "x", **fitting}), (20,), 1_000_000)
        for dense in ({"confusion": "hard"}, {"groups_from": "baseline"}):
            with pytest.raises(
                InputError, match="20,000 classes; for 100,000 use --groups-from baseline --confusion hard"
            ):
                check_confusion(make_settings({"data": "x", **dense}), (20,), 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("confusion", ["soft", "hard"])
def test_ten_thousand_and_one_classes_are_trained(tmp_path: Path, confusion: str) -> None:
    classes = TestTenThousandAndOneClasses.CLASSES
    rng = np.random.default_rng(0)
    encoded = [b"P5 4 4 255\n" + rng.bytes(16) for _ in range(3 * classes)]
    table = pa.table({"image": pa.array(encoded, pa.binary()), "label": np.arange(classes).repeat(3)})
    pq.write_table(table, tmp_path / "many.parquet")
    arguments = ("--groups", "100", "--image-size", 4, "--confusion", confusion, "--out", tmp_path / "run")
    done = ssal("train", tmp_path / "many.parquet", *QUICK, *arguments)
    assert done.returncode == 0, done.stderr
    assert "no linear combination (LC)" in done.stdout
    assert "LC" not in json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert len(library.load(tmp_path / "run").class_names) == classes
