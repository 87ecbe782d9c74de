"""The Python examples of the pages do what they say, with smaller data."""

import re
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import ssal
from ssal.config import make_settings
from ssal.data import SourceOptions, source_names

ROOT = Path(__file__).parent.parent


def example(page: str, having: str) -> str:
    """The one example of a page that has some text."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    [found] = [block for block in blocks if having in block]
    return found


def test_a_method_from_the_page_of_rivals() -> None:
    code = example("docs/rivals.md", "find_method(").replace('"groups": [2, 5]', '"groups": [2, 5], **QUICK')
    quick = {"width": 4, "epochs": 1, "precision": "32", "images_per_class": 20}
    names: dict[str, Any] = {"make_settings": make_settings, "QUICK": quick}
    exec(code, names)
    assert len(names["network"].specs) == 2 and names["objectives"]


def test_a_run_from_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = ssal.train

    def shorter(data: str, *, out: str, **given: Any) -> ssal.Run:
        assert data == "glyphs"
        small: dict[str, Any] = {"groups": (2, 5), "width": 4, "epochs": 1, "explanation_images": 0}
        return train("digits", out=out, **{**given, **small})

    monkeypatch.setattr(ssal, "train", shorter)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save("letter.png")
    names: dict[str, Any] = {}
    exec(example("README.md", "ssal.train("), names)
    assert names["prediction"].class_name in map(str, range(10))
    assert len(names["prediction"].groups) == 2


def test_the_parts_from_the_readme() -> None:
    torch.manual_seed(0)
    names: dict[str, Any] = {
        "probabilities": torch.randn(500, 100).softmax(dim=1),
        "target": torch.arange(500) % 100,
        "images": torch.rand(2, 3, 64, 64),
    }
    code = example("README.md", "soft_confusion(").replace("224", "64")
    before, after = code.split("outputs = ")
    exec(before, names)
    names["target"] = torch.tensor([3, 4])
    with torch.no_grad():
        exec("outputs = " + after, names)
    assert names["log_prob"].shape == (2, 100)
    torch.testing.assert_close(names["log_prob"].exp().sum(dim=1), torch.ones(2))
    assert names["loss"] > 0


# Its own warnings: few workers, old names of PyTorch.
@pytest.mark.filterwarnings("ignore")
def test_a_lightning_module_of_ones_own() -> None:
    names: dict[str, Any] = {}
    exec(example("docs/training.md", "LightningModule"), names)
    backbone = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 4)
    )
    groups = ssal.Grouping.from_labels([0, 0, 1, 1])
    model = ssal.SSALModel(backbone, [ssal.Branch("0", groups, layout="gap", weight=0.5)], (1, 8, 8))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loader = DataLoader(TensorDataset(torch.rand(8, 1, 8, 8), torch.arange(8) % 4), batch_size=4)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.fit(names["Joint"](model), loader)
    assert all(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_model_of_ones_own_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save("image.png")
    groups = ssal.Grouping.from_labels([0, 0, 1, 1])
    backbone = timm.create_model("resnet18", num_classes=4)
    names: dict[str, Any] = {
        "ssal": ssal,
        "model": ssal.SSALModel(backbone, [ssal.Branch("layer2", groups)], (3, 32, 32)),
        "names": ["cat", "dog", "car", "bus"],
        "exponents": ssal.Exponents(1.0, (0.5,)),
    }
    exec(example("docs/training.md", "ssal.save(").replace("224", "32").replace("0.32", "0.224"), names)
    assert ssal.load("mine").exponents == names["exponents"]


def test_a_source_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssal.data.sources._SOURCES", {})
    names: dict[str, Any] = {
        "pixels": np.zeros((20, 8, 8, 1), np.uint8),
        "labels": np.arange(20) % 2,
        "names": ["square", "circle"],
    }
    exec(example("docs/data.md", "register_source"), names)
    assert source_names() == ("squares",)
    raw = names["squares"](SourceOptions())
    assert (len(raw.train), len(raw.test), raw.flip) == (16, 4, True)
