"""Finished runs made of arithmetic instead of training, for the tests of the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from PIL import Image

from ssal.backbones import create_backbone
from ssal.confusion import save_confusion
from ssal.data import Preprocess
from ssal.files import write_bytes, write_json, write_text
from ssal.grouping import Grouping
from ssal.joint import Exponents
from ssal.model import Branch, SSALModel
from ssal.run.backbone import BackboneSpec
from ssal.run.saved import SavedModel, save_model

TAPS = ("layer1", "layer2", "layer3")
WAYS = ("baseline", "TR", "JP", "LC")
RIGHT = {"baseline": 0.70, "TR": 0.78, "JP": 0.80, "LC": 0.60}


def names_of(classes: int) -> list[str]:
    return [f"class {number:04}" for number in range(classes)]


def made_run(
    path: Path,
    names: Sequence[str],
    *,
    groups: Sequence[int] = (2, 3),
    per_class: int = 20,
    seed: int = 0,
    right: dict[str, float] | None = None,
    data: str = "nowhere/data",
    settings: dict[str, Any] | None = None,
) -> Path:
    """Write everything that a run leaves but its weights; `groups` gives the groups of each branch."""
    rng = np.random.default_rng(seed)
    classes, count = len(names), per_class * len(names)
    groupings = [
        Grouping.from_labels(np.arange(classes) * k // classes, class_names=list(names)) for k in groups
    ]
    target = np.repeat(np.arange(classes), per_class)
    hit = {way: rng.random(count) < (right or RIGHT)[way] for way in WAYS}
    answers = {way: np.where(hit[way], target, (target + 1) % classes) for way in WAYS}
    columns: dict[str, Any] = {"index": np.arange(count), "target": _named(names, target)}
    for way in WAYS:
        columns[way] = _named(names, answers[way])
        columns[f"{way}_probability"] = np.where(hit[way], 0.9, 0.5) - 0.3 * rng.random(count)
    agreement = np.zeros(count, dtype=np.int64)
    for number, grouping in enumerate(groupings, start=1):
        seen = np.where(rng.random(count) < 0.9, grouping.labels[target], 0)
        columns[f"branch{number}_group"] = seen
        columns[f"branch{number}_probability"] = rng.random(count)
        agreement += seen == grouping.labels[answers["JP"]]
    columns["agreement"] = agreement
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    write_bytes(path / "eval" / "predictions.parquet", sink.getvalue().to_pybytes())

    matrix = 0.8 * np.eye(classes) + 0.2 * np.roll(np.eye(classes), 1, axis=1)
    save_confusion(path / "confusion.npz", matrix, names)
    branches = list(zip(TAPS, groupings, strict=False))
    write_json(path / "model" / "config.json", _description(names, branches))
    accuracy = {way: 100 * float((answers[way] == target).mean()) for way in WAYS}
    write_json(path / "metrics.json", _metrics(accuracy, branches))
    config = {"data": data, "model": "resnet18_cifar", "width": 8, "epochs": 3, "seed": seed}
    write_text(path / "config.yaml", yaml.safe_dump(config | (settings or {})))
    write_json(path / "env.json", _environment(path, seed))
    write_text(path / "metrics.csv", _epochs(len(groupings)))
    return path


def _named(names: Sequence[str], codes: np.ndarray) -> list[str]:
    return [names[code] for code in codes.tolist()]


def _description(names: Sequence[str], branches: list[tuple[str, Grouping]]) -> dict[str, Any]:
    return {
        "format": 1,
        "ssal": "0",
        "backbone": {
            "name": "resnet18_cifar",
            "num_classes": len(names),
            "in_chans": 1,
            "input_size": [16, 16],
        },
        "class_names": list(names),
        "preprocess": Preprocess(1, (16, 16), mean=(0.5,), std=(0.5,)).to_dict(),
        "main_exponent": 0.9,
        "branches": [
            {"tap": tap, "layout": "gap", "labels": grouping.labels.tolist(), "weight": 0.5, "exponent": 0.2}
            for tap, grouping in branches
        ],
    }


def _metrics(accuracy: dict[str, float], branches: list[tuple[str, Grouping]]) -> dict[str, Any]:
    nll = {"baseline": 0.9, "TR": 0.8, "JP": 0.7, "LC": 1.2}
    found: dict[str, Any] = {
        way: {"top1": accuracy[way], "top5": 99.0, "nll": nll[way], "ece": 2.0 + nll[way]} for way in WAYS
    }
    found["branches"] = [
        {"tap": tap, "num_groups": grouping.num_groups, "top1": 90.0, "weight": 0.5, "exponent": 0.2 * number}
        for number, (tap, grouping) in enumerate(branches)
    ]
    found["main_exponent"] = 0.9
    found["error_detection"] = {"baseline": 0.9, "TR": 0.91, "JP": 0.92, "LC": None}
    found["params"] = {"baseline": 1000, "TR": 1000, "JP": 1250, "LC": 1300}
    found["flops"] = {"baseline": 1_000_000, "TR": 1_000_000, "JP": 1_100_000, "LC": 1_100_000}
    found["seconds"] = {
        "baseline": 10.0,
        "TR": 25.0,
        "JP": 25.5,
        "LC": 26.0,
        "stages": {"baseline": 10.0, "joint": 14.0, "confusion": 1.0, "exponents": 0.5},
    }
    return found


def _environment(path: Path, seed: int) -> dict[str, Any]:
    return {
        "started": "2026-01-02T03:04:05+00:00",
        "command": ["ssal", "train", "nowhere/data", "--seed", str(seed), "--out", str(path.name)],
        "python": "3.11.7",
        "versions": {"ssal": "0.1.0", "torch": "2.14.1"},
        "gpus": [],
        "cpus": 2,
    }


def _epochs(branches: int) -> str:
    extra = [f"val_top1_branch{number + 1}" for number in range(branches)]
    lines = [",".join(["stage,epoch,epochs,lr,train_loss,val_loss,val_top1,val_top1_joint,seconds", *extra])]
    for stage in ("baseline", "joint"):
        for epoch in (1, 2, 3):
            tail = [str(30 + 20 * epoch) if stage == "joint" else "" for _ in extra]
            row = [stage, epoch, 3, 0.1, 3 / epoch, 2 / epoch, 20 * epoch, 21 * epoch, 3.5]
            lines.append(",".join([*map(str, row), *tail]))
    return "\n".join(lines) + "\n"


def run_with_images(folder: Path, names: Sequence[str], *, per_class: int = 4) -> Path:
    """A made run whose model and test images are there: an untrained network, and noise."""
    rng = np.random.default_rng(3)
    # Folders of classes are read in the order of their names.
    ordered = sorted(names)
    for part, count in (("train", 2), ("test", per_class)):
        for name in ordered:
            (folder / "data" / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (20, 24), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "data" / part / name / f"{number}.png")
    run = made_run(folder / "run", ordered, per_class=per_class, groups=(2, 3), data=str(folder / "data"))
    torch.manual_seed(0)
    labels = [
        branch["labels"] for branch in json.loads((run / "model" / "config.json").read_text())["branches"]
    ]
    branches = [
        Branch(tap, Grouping.from_labels(label, class_names=ordered), layout=layout)
        # The second branch has no map.
        for tap, label, layout in zip(TAPS, labels, ("cbr 8 | gap", "cbr 8,9,9 | gap"), strict=False)
    ]
    classes = len(ordered)
    saved = SavedModel(
        model=SSALModel(
            create_backbone("resnet18_cifar", classes, in_chans=1, width=8), branches, (1, 16, 16)
        ),
        backbone=BackboneSpec(
            name="resnet18_cifar", num_classes=classes, in_chans=1, input_size=(16, 16), width=8
        ),
        class_names=tuple(ordered),
        # Cropped, as photographs are: evidence must be of what was measured, not cropped twice.
        preprocess=Preprocess(1, (16, 16), mean=(0.5,), std=(0.5,), crop_share=0.8),
        exponents=Exponents(0.9, (0.5, 0.2)),
    )
    save_model(run / "model", saved, "0")
    return run
