"""A finished run of a small untrained network, the names of whose classes would like to be code."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from ssal.backbones import create_backbone
from ssal.data import Preprocess
from ssal.files import write_text
from ssal.grouping import Grouping
from ssal.joint import Exponents
from ssal.model import Branch, SSALModel
from ssal.run.backbone import BackboneSpec
from ssal.run.saved import SavedModel, save_model

# The first three can be names of folders.
NAMES = (
    "<img src=x onerror=alert(1)>",
    "${alert(2)}",
    "{{alert(3)}} & 'co'",
    "<script>alert(4)</script>",
    "\u202ereversed\x1b[31m",
    "cat",
)


def hostile_run(folder: Path) -> Path:
    """Write a run of three branches, one of which has no map, with data and predictions of test images."""
    torch.manual_seed(1)
    branches = [
        Branch("layer1", Grouping.random(6, 2, seed=0, class_names=NAMES)),
        Branch("layer1", Grouping.random(6, 3, seed=1, class_names=NAMES), layout="cbr 8 | gap | dense 8"),
        Branch("layer3", Grouping.random(6, 3, seed=2, class_names=NAMES), layout="cbr 8,9,9 | gap"),
    ]
    saved = SavedModel(
        model=SSALModel(create_backbone("resnet18_cifar", 6, in_chans=1, width=8), branches, (1, 16, 16)),
        backbone=BackboneSpec(name="resnet18_cifar", num_classes=6, in_chans=1, input_size=(16, 16), width=8),
        class_names=NAMES,
        preprocess=Preprocess(1, (16, 16), mean=(0.5,), std=(0.5,)),
        exponents=Exponents(0.9, (0.7, 0.4, 0.0)),
    )
    run = folder / "<b onclick=alert(5)>run"
    save_model(run / "model", saved, "0")
    _write_data(folder / "data")
    write_text(run / "config.yaml", f"data: {folder / 'data'}\nmodel: resnet18_cifar\nwidth: 8\n")
    _write_predictions(run / "eval" / "predictions.parquet")
    return run


def _write_data(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 2), ("test", 3)):
        for name in NAMES[:3]:
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (20, 24), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")


def _write_predictions(path: Path) -> None:
    """Of each class one row that only the joint prediction gets right, one that all get right, one wrong."""
    path.parent.mkdir(parents=True)
    # The order of classes in a folder is that of their names.
    target = [name for name in sorted(NAMES[:3]) for _ in range(3)]
    main = ["cat" if row % 3 == 0 else name for row, name in enumerate(target)]
    joint = ["cat" if row % 3 == 2 else name for row, name in enumerate(target)]
    columns = {"index": range(9), "target": target, "TR": main, "JP": joint, "agreement": [3] * 9}
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
