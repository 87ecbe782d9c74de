"""The files of a sound run with a tiny network, made in a moment."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from timm.models import register_model
from torch import nn

from ssal.checkpoint import save_state
from ssal.config import dotted, make_settings, to_yaml
from ssal.confusion import save_confusion
from ssal.data import Preprocess
from ssal.files import write_json, write_text
from ssal.grouping import Grouping
from ssal.joint import Exponents, LinearCombination, Outputs
from ssal.model import Branch, SSALModel
from ssal.run.backbone import BackboneSpec
from ssal.run.log import add_row
from ssal.run.resume import Beginnings, save_beginnings
from ssal.run.saved import SavedModel, save_model, save_selector
from ssal.selective import Sample, fit_selector
from ssal.training import EpochRow

CLASSES = 4
NAMES = ("ant", "bee", "cat", "dog")


@register_model
def tiny_fuzz(num_classes: int = 4, in_chans: int = 1, width: int | None = None, **_: Any) -> nn.Module:
    """A network that is built in a millisecond."""
    channels = width or 2
    net = nn.Sequential()
    net.add_module("conv", nn.Conv2d(in_chans, channels, 3, padding=1))
    net.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    net.add_module("head", nn.Linear(channels, num_classes))
    return net


def _model(folder: Path) -> SavedModel:
    torch.manual_seed(0)
    groupings = [Grouping.from_labels([0, 1, 0, 1], NAMES), Grouping.identity(CLASSES, NAMES)]
    layouts = ("cbr 2,3,1 | gap | dense 3", "gap")
    branches = [
        Branch("conv", grouping, layout, exponent=0.5)
        for grouping, layout in zip(groupings, layouts, strict=True)
    ]
    model = SSALModel(timm.create_model("tiny_fuzz"), branches, (1, 4, 4)).eval()
    saved = SavedModel(
        model=model,
        backbone=BackboneSpec(name="tiny_fuzz", num_classes=CLASSES, in_chans=1, input_size=(4, 4), width=2),
        class_names=NAMES,
        preprocess=Preprocess(1, (4, 4), mean=(0.5,), std=(0.25,)),
        exponents=Exponents(1.0, (0.5, 0.25)),
        combination=LinearCombination(torch.randn(CLASSES, CLASSES + 6), torch.zeros(CLASSES)),
    )
    save_model(folder, saved, "0")
    parts = [_sample(seed, model) for seed in (1, 2, 3)]
    save_selector(folder, fit_selector(parts[0], parts[1], 3.0).tested(parts[2]))
    for number, grouping in enumerate(groupings):
        grouping.save(folder.parent / "groups" / f"layer{number}.json")
    return saved


def _sample(seed: int, model: SSALModel) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    logits = [torch.randn((40, count), generator=generator) for count in (CLASSES, 2, CLASSES)]
    target = torch.randint(CLASSES, (40,), generator=generator)
    return Sample(Outputs(logits[0], tuple(logits[1:])), logits[0].log_softmax(dim=1), target, model.labels)


def _metrics() -> dict[str, Any]:
    ways = ("baseline", "TR", "JP", "LC")
    summary = {"top1": 90.0, "top5": 99.0, "nll": 0.3, "ece": 1.0}
    branch = {"tap": "conv", "num_groups": 2, "top1": 95.0, "weight": 0.5, "exponent": 0.5}
    return dict.fromkeys(ways, summary) | {
        "branches": [branch, branch],
        "main_exponent": 1.0,
        "params": dict.fromkeys(ways, 100),
        "seconds": dict.fromkeys(ways, 1.5) | {"stages": {"joint": 1.0}},
        "error_detection": dict.fromkeys(ways, 0.9),
    }


def sound_run() -> dict[str, bytes]:
    """The content of each file of a run, by its path in the run directory."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        saved = _model(root / "model")
        state = saved.model.state_dict()
        settings = make_settings({"data": "digits", "groups": "2,all", "epochs": 8})
        write_text(root / "config.yaml", to_yaml(settings))
        write_json(root / "env.json", {"python": "3.11.7", "versions": {"ssal": "0"}, "command": ["ssal"]})
        for epoch in (1, 2):
            row = EpochRow("joint", epoch, 2, 0.1, 1.0, 1.0, 50.0, 50.0, (50.0,), 1.0, 100.0)
            add_row(root / "metrics.csv", row)
        write_json(root / "metrics.json", _metrics())
        save_confusion(root / "confusion.npz", np.arange(16.0).reshape(4, 4), NAMES)
        save_state(root / "checkpoints" / "baseline.ckpt", state)
        save_state(root / "checkpoints" / "seconds.ckpt", {"confusion": 1.0})
        save_beginnings(
            root / "checkpoints" / "beginnings.ckpt",
            Beginnings(dotted(settings.model_dump(mode="json")), {"classes": CLASSES}, "0" * 64),
        )
        moments = {number: {"momentum": torch.ones(2, 3)} for number in range(2)}
        save_state(
            root / "checkpoints" / "last.ckpt",
            {
                "epoch": 1,
                "state_dict": state,
                "optimizer_states": [{"state": moments, "param_groups": [{"lr": 0.1, "params": (0, 1)}]}],
                "ssal": {
                    "stage": "joint",
                    "run": "0" * 64,
                    "epoch": 1,
                    "batch": 0,
                    "batches": 4,
                    "sums": None,
                    "random": torch.zeros(8, dtype=torch.uint8),
                },
            },
        )
        files = [path for path in root.rglob("*") if path.is_file()]
        return {str(path.relative_to(root)): path.read_bytes() for path in files}


def write_run(folder: Path) -> Path:
    """Lay the files of a sound run into a new folder."""
    for name, content in sound_run().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
