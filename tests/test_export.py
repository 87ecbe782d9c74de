"""Exported graphs compute what the model computes."""

import copy
import io
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from ssal.data import Preprocess
from ssal.errors import InputError, RunError
from ssal.evidence.maps import class_activation_map
from ssal.evidence.sources import pooled_sources
from ssal.export import export
from ssal.export import write as writing
from ssal.export.fold import fold_batch_norms
from ssal.grouping import Grouping
from ssal.joint import Exponents, joint_log_prob
from ssal.model import Branch, SSALModel
from ssal.run.backbone import BackboneSpec, build_backbone
from ssal.run.saved import SavedModel

CLASSES = 6


def saved() -> SavedModel:
    """A small ResNet with two branches, whose norms have seen data."""
    torch.manual_seed(0)
    spec = BackboneSpec(name="resnet18_cifar", num_classes=CLASSES, in_chans=3, input_size=(16, 16), width=4)
    branches = [
        Branch("layer1", Grouping.from_labels([0, 0, 1, 1, 2, 2]), "cbr 8,3,2 | gap"),
        Branch("layer2", Grouping.from_labels([0, 1, 0, 1, 0, 1]), "cbr 8 | gap | dense 8"),
    ]
    model = SSALModel(build_backbone(spec), branches, (3, 16, 16)).train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(32, 3, 16, 16) + 0.5)
    return SavedModel(
        model.eval(),
        spec,
        tuple("abcdef"),
        Preprocess(3, (16, 16), (0.5,) * 3, (0.25,) * 3),
        Exponents(0.9, (0.5, 0.25)),
    )


def run_onnx(path: Path, images: torch.Tensor) -> dict[str, torch.Tensor]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(None, {"images": images.numpy()})
    return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}


def run_torch(path: Path, images: torch.Tensor) -> dict[str, torch.Tensor]:
    files = {"outputs": ""}
    program = torch.export.load(io.BytesIO(path.read_bytes()), extra_files=files)
    return dict(zip(json.loads(files["outputs"]), program.module()(images), strict=True))


@pytest.mark.parametrize("form", ["onnx", "torch-export"])
def test_a_file_explains_as_the_model_does(tmp_path: Path, form: str) -> None:
    if form == "onnx":
        pytest.importorskip("onnxscript")
    original, path = saved(), tmp_path / "model"
    done = export(saved(), path, format=form, mode="explain")
    assert done.folded == 20 + 2 and done.difference <= 1e-4
    images = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(9))
    found = (run_onnx if form == "onnx" else run_torch)(path, images)
    assert tuple(found) == done.outputs == ("log_prob", "main", "group1", "group2", "map0", "map1")

    model = original.model
    with torch.no_grad():
        outputs = model(images)
        joint = joint_log_prob(outputs, model.labels, (0.5, 0.25), 0.9)
        maps = model.branches[0].body[0](model.backbone.get_submodule("layer1")(_stem(model, images)))
    torch.testing.assert_close(found["log_prob"], joint, atol=1e-4, rtol=0)
    torch.testing.assert_close(found["main"], outputs.main.log_softmax(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(found["group2"], outputs.groups[1].log_softmax(1), atol=1e-4, rtol=0)
    source = pooled_sources(model)[1]
    assert source is not None and source.head is not None
    for number in range(5):
        weight = source.head.weight[outputs.groups[0][number].argmax()]
        wanted = class_activation_map(maps[number], weight).float()
        torch.testing.assert_close(found["map1"][number], wanted, atol=1e-4, rtol=0)


def _stem(model: SSALModel, images: torch.Tensor) -> torch.Tensor:
    """What goes into the first stage."""
    seen: list[torch.Tensor] = []
    stage = model.backbone.get_submodule("layer1")
    handle = stage.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(images)
    handle.remove()
    return seen[0]


def test_the_main_classifier_is_exported_without_its_branches(tmp_path: Path) -> None:
    whole, bare = tmp_path / "joint.pt2", tmp_path / "main.pt2"
    export(saved(), whole, format="torch-export", mode="joint")
    done = export(saved(), bare, format="torch-export", mode="main")
    assert done.folded == 20 and bare.stat().st_size < whole.stat().st_size
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        wanted = saved().model(images).main.log_softmax(1)
    torch.testing.assert_close(run_torch(bare, images)["log_prob"], wanted, atol=1e-4, rtol=0)


def test_classes_and_preprocessing_go_with_the_file(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    path = tmp_path / "model.onnx"
    export(saved(), path)
    properties = {item.key: item.value for item in onnx.load(path).metadata_props}
    described = json.loads(properties["ssal"])
    assert described["class_names"] == list("abcdef")
    assert Preprocess.from_dict(described["preprocess"]) == saved().preprocess
    assert [entry["labels"] for entry in described["groups"]] == [[0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1]]


def test_only_norms_right_behind_a_convolution_are_folded() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
            self.second, self.shared = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
            self.before = nn.BatchNorm2d(3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            first = self.first(self.before(images))
            # Read twice, so that its norm must stay.
            first = self.norm(first) + first
            return self.shared(self.second(first)).relu()

    torch.manual_seed(0)
    network = Odd().train()
    for _ in range(10):
        network(torch.randn(16, 3, 5, 5) * 3 + 1)
    network.eval()
    original = copy.deepcopy(network)
    images = torch.randn(2, 3, 5, 5)
    assert fold_batch_norms(network, torch.export.export(network, (images,))) == 1
    assert isinstance(network.shared, nn.Identity) and isinstance(network.norm, nn.BatchNorm2d)
    torch.testing.assert_close(network(images), original(images))


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(program: object, names: object, metadata: object) -> tuple[bytes, writing.Runner]:
        content, run = writing._torch_export(program, names, metadata)  # type: ignore[arg-type]
        return content, lambda images: [output + 1e-3 for output in run(images)]

    monkeypatch.setitem(writing.FORMATS, "torch-export", wrong)
    with pytest.raises(RunError, match=r"differ from the model's by 0\.001"):
        export(saved(), tmp_path / "model.pt2", format="torch-export")
    assert not list(tmp_path.iterdir())


def test_unknown_formats_and_modes_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="onnx"):
        export(saved(), tmp_path / "x", format="onx")
    with pytest.raises(InputError, match="explain"):
        export(saved(), tmp_path / "x", mode="explian")


def test_without_onnx_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(InputError, match=r"pip install 'ssal\[onnx\]'"):
        export(saved(), tmp_path / "x.onnx")


@pytest.mark.parametrize(("name", "format"), [("model.pt2", "onnx"), ("model.onnx", "torch-export")])
def test_a_name_of_the_other_format_is_refused(tmp_path: Path, name: str, format: str) -> None:
    with pytest.raises(InputError, match=f"^{name} ends as files of another format do; {format} has "):
        export(saved(), tmp_path / name, format=format)
    assert not list(tmp_path.iterdir())
