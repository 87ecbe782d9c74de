"""A model of a loop of one's own, saved and loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

import ssal
from ssal.backbones import create_backbone
from ssal.data import Preprocess
from ssal.errors import InputError, RunError
from ssal.joint import Exponents, LinearCombination

NAMES = ["cat", "car", "dog", "bus"]
SMALL = Preprocess(3, (32, 32), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


@pytest.fixture
def model() -> ssal.SSALModel:
    torch.manual_seed(0)
    backbone = create_backbone("resnet18_cifar", 4, width=8)
    groups = ssal.Grouping.from_labels([0, 1, 0, 1], class_names=NAMES)
    return ssal.SSALModel(backbone, [ssal.Branch("layer2", groups, exponent=0.4)], (3, 32, 32)).eval()


def save(model: ssal.SSALModel, out: Path, **given: Any) -> Path:
    asked: dict[str, Any] = {"backbone": "resnet18_cifar", "width": 8, "class_names": NAMES}
    return ssal.save(model, out, **(asked | {"preprocess": SMALL} | given))


def test_what_was_saved_predicts_the_same(model: ssal.SSALModel, tmp_path: Path) -> None:
    exponents = Exponents(0.7, (0.2,))
    folder = save(model, tmp_path / "a" / "mine", exponents=exponents)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    prediction = ssal.load(folder).predict(image)
    with torch.inference_mode():
        expected = model.log_prob(SMALL(image)[None], exponents).exp()[0]
    assert prediction.class_name == NAMES[int(expected.argmax())]
    assert prediction.probability == pytest.approx(float(expected.max()), abs=1e-6)
    assert len(ssal.load(folder, mode="main").predict(image).groups) == 0
    assert "resnet18_cifar with 1 branch\n" in (folder / "README.md").read_text()


def test_a_model_is_a_card_of_the_hub_and_is_read_from_its_cache(
    model: ssal.SSALModel, tmp_path: Path
) -> None:
    folder = save(model, tmp_path / "mine")
    card = ModelCard.load(folder / "README.md").data
    assert (card.library_name, card.pipeline_tag) == ("ssal", "image-classification")
    snapshot = tmp_path / "cache" / "snapshots" / "1234"
    snapshot.mkdir(parents=True)
    # The hub's cache holds links to files that are named by their digests, and what the hub adds itself.
    for number, file in enumerate(folder.iterdir()):
        blob = snapshot.parents[1] / str(number)
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(blob)
    (snapshot / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    assert ssal.load(str(snapshot)).class_names == tuple(NAMES)


def test_the_branches_own_exponents_are_kept_and_a_model_may_be_replaced(
    model: ssal.SSALModel, tmp_path: Path
) -> None:
    save(model, tmp_path / "mine", exponents=Exponents(2.0, (3.0,)))
    save(model, tmp_path / "mine")
    assert ssal.load(tmp_path / "mine").exponents == Exponents(1.0, (0.4,))


def test_a_callable_is_given_again_on_loading(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    groups = ssal.Grouping.from_labels([0, 1, 0, 1])
    model = ssal.SSALModel(resnet18(num_classes=4), [ssal.Branch("layer2", groups)], (3, 32, 32))
    save(model, tmp_path / "mine", backbone="torchvision.models:resnet18", width=None)
    with pytest.raises(RunError, match="made by 'torchvision.models:resnet18'"):
        ssal.load(tmp_path / "mine")
    image = np.zeros((32, 32, 3), np.uint8)
    assert ssal.load(tmp_path / "mine", backbone=resnet18).predict(image).class_name in NAMES


def test_a_linear_combination_is_kept(model: ssal.SSALModel, tmp_path: Path) -> None:
    combination = LinearCombination(torch.randn(4, 6), torch.randn(4))
    save(model, tmp_path / "mine", combination=combination)
    kept = ssal.run.saved.load_model(tmp_path / "mine").combination  # pyright: ignore[reportAttributeAccessIssue]
    assert kept is not None and torch.equal(kept.weight, combination.weight)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"class_names": NAMES[:3]}, "3 class names for 4 classes"),
        ({"class_names": ["cat"] * 4}, "'cat' is there twice"),
        ({"preprocess": Preprocess(1, (32, 32), (0.5,), (0.2,))}, r"\[1, 32, 32\], the model takes \[3, 32"),
        ({"exponents": Exponents(1.0, ())}, "0 exponents for 1 branches"),
        ({"exponents": Exponents(1.0, (float("nan"),))}, "from 0 on, not nan"),
        ({"backbone": "resnet18_cifr"}, "did you mean 'resnet18_cifar'"),
        ({"backbone": "resnet34_cifar"}, "'resnet34_cifar' has a weight .* the model has none"),
        ({"width": 12}, r"'conv1.weight' has shape \[8, 3, 3, 3\], not \[12, 3, 3, 3\]"),
        (
            {"combination": LinearCombination(torch.zeros(4, 5), torch.zeros(4))},
            r"weight of the linear combination has shape \[4, 5\], not \[4, 6\]",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    model: ssal.SSALModel, tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        save(model, tmp_path / "mine", **given)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("x"), "is a file"),
        (lambda path: (path / "checkpoints").mkdir(parents=True), "holds 'checkpoints'"),
    ],
)
def test_nothing_of_anybody_is_overwritten(
    model: ssal.SSALModel, tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    make(tmp_path / "mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=words):
        save(model, tmp_path / "mine")
    assert sorted(tmp_path.rglob("*")) == before
