"""Mode `main` is the bare backbone: nothing of the branches is read, built or run."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import ssal
from ssal import Branch, Grouping, SSALModel
from ssal.data import Preprocess
from ssal.errors import InputError, RunError
from ssal.joint import Exponents, LinearCombination
from ssal.run.backbone import BackboneSpec
from ssal.run.saved import SavedModel, save_model

SPEC = BackboneSpec(name="resnet18_cifar", num_classes=6, in_chans=3, input_size=(32, 32), width=8)
NAMES = ("ant", "bee", "cat", "dog", "elk", "fox")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    backbone = timm.create_model("resnet18_cifar", num_classes=6, width=8)
    branches = [Branch(tap, Grouping.random(6, 3, seed=0)) for tap in ("layer1", "layer3")]
    saved = SavedModel(
        SSALModel(backbone, branches).eval(),
        SPEC,
        NAMES,
        Preprocess(3, (32, 32), (0.5,) * 3, (0.25,) * 3),
        Exponents(1.0, (0.4, 0.7)),
        LinearCombination(torch.randn(6, 12), torch.zeros(6)),
    )
    save_model(tmp_path / "model", saved, "0")
    return tmp_path


def test_branches_are_not_built(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joint = ssal.load(folder, device="cpu")

    def build(*_: object) -> nn.Module:
        raise InputError("a branch was built")

    monkeypatch.setattr("ssal.model.build_branch", build)
    main = ssal.load(folder, "main", device="cpu")
    with pytest.raises(RunError, match="a branch was built"):
        ssal.load(folder, device="cpu")
    assert main.network.state_dict().keys() == joint.saved.model.backbone.state_dict().keys()
    assert not any(module._forward_hooks for module in main.network.modules())
    images = torch.randn(4, 3, 32, 32)
    outputs = main.outputs(images)
    assert outputs.groups == ()
    torch.testing.assert_close(outputs.main, joint.outputs(images).main)
    torch.testing.assert_close(main.log_prob(outputs), torch.log_softmax(outputs.main, dim=1))


def test_weights_of_branches_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr("ssal.run.saved._check_fit", lambda path, model, state: read.extend(state))
    ssal.load(folder, "main", device="cpu")
    assert read and all(name.startswith("backbone.") for name in read)


def first_of_branches(state: dict[str, torch.Tensor]) -> torch.Tensor:
    return next(tensor for name, tensor in state.items() if name.startswith("branches.") and tensor.any())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("backbone.fc.bias"), "'backbone.fc.bias' is missing"),
        (lambda state: state.update(other=torch.zeros(1)), "'other' is not expected"),
        (lambda state: first_of_branches(state).zero_(), "damaged or was changed"),
    ],
)
def test_a_damaged_file_is_noticed_all_the_same(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    path = folder / "model" / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(RunError, match=message):
        ssal.load(folder, "main", device="cpu")


def test_the_model_folder_alone_is_enough(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "model", tmp_path / "elsewhere")
    prediction = ssal.load(tmp_path / "elsewhere", "main", device="cpu").predict(torch.rand(3, 32, 32))
    assert prediction.class_name in NAMES
    assert prediction.groups == ()
