"""The paper's networks with branches: that they can be built, and their sizes beside the tables."""

import pytest
import timm
import torch

import ssal.backbones  # noqa: F401  (registers the names)
from ssal.config import make_settings
from ssal.experiments.published import (
    BASELINE_LR,
    POSITION_LAYOUT,
    POSITIONS,
    PUBLISHED,
    STAGE_COPIES,
)
from ssal.grouping import Grouping
from ssal.model import Branch, SSALModel
from ssal.taps import probe_taps

# Deviations that the published description cannot settle, see the module's own text.
OPEN = {"se_wrn16_8-3": 4.0}


def build(name: str, width: int | None = None) -> SSALModel:
    """The network with its branches, without storage."""
    entry = PUBLISHED[name]
    settings = entry.settings(width)
    shape = (3, 224, 224) if entry.num_classes == 1000 else (3, 32, 32)
    with torch.device("meta"):
        kwargs = {} if width is None else {"width": width}
        backbone = timm.create_model(entry.model, num_classes=entry.num_classes, **kwargs)
        parts = zip(settings["taps"], settings["groups"], settings["layout"], strict=True)
        branches = [
            Branch(tap, Grouping.random(entry.num_classes, groups, seed=0), layout)
            for tap, groups, layout in parts
        ]
        return SSALModel(backbone, branches, shape)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_beside_the_paper(name: str) -> None:
    """Published counts include the running statistics of the norms, as those of the networks themselves."""
    model, published = build(name), PUBLISHED[name].millions
    trained = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    statistics = sum(value.numel() for key, value in model.named_buffers() if "running_" in key) / 1e6
    stored = trained + statistics
    assert len(model.branches) == len(PUBLISHED[name].branches)
    if published is None:
        print(f"{name}: {stored:.3f}M, {trained:.3f}M of them trained, no published count")
        return
    deviation = 100 * (stored / published - 1)
    print(
        f"{name}: paper {published}M, here {stored:.3f}M ({deviation:+.2f} %), {trained:.3f}M of them trained"
    )
    assert abs(deviation) < OPEN.get(name, 1.0)


@pytest.mark.parametrize("name", ["resnet18-2", "wrn28_10-3", "tiny-resnet18-3"])
def test_narrow_networks_have_narrow_branches(name: str) -> None:
    """Branches take the same share of the parameters at a quarter of the width, within a few points."""
    entry = PUBLISHED[name]
    shares = []
    for width in (entry.width, entry.width // 4):
        model = build(name, width)
        branches = sum(parameter.numel() for parameter in model.branches.parameters())
        shares.append(branches / sum(parameter.numel() for parameter in model.parameters()))
    assert abs(shares[0] - shares[1]) < 0.04


@pytest.mark.parametrize("name", PUBLISHED)
def test_settings_are_settings(name: str) -> None:
    settings = make_settings({"data": "cifar100"}, PUBLISHED[name].settings())
    assert settings.model == PUBLISHED[name].model
    assert len(settings.taps) == len(settings.layout) == len(settings.groups)
    assert settings.branch.exponents == (PUBLISHED[name].exponent,)
    weights = tuple(branch.weight for branch in PUBLISHED[name].branches if branch.weight is not None)
    assert settings.branch.weights == (weights or None)


@pytest.mark.parametrize("model", POSITIONS)
def test_positions_of_figure_3_can_be_tapped(model: str) -> None:
    taps = POSITIONS[model]
    assert len(taps) == (4 if model == "resnet50_cifar" else 7)
    with torch.device("meta"):
        backbone = timm.create_model(model, num_classes=100)
        shapes = probe_taps(backbone, taps, (3, 32, 32))
        one = Branch(taps[-1], Grouping.random(100, 20, seed=0), POSITION_LAYOUT)
        assert SSALModel(backbone, [one]).branches[0].head.out_features == 20
    sides = [shape.height for shape in shapes]
    assert sides == sorted(sides, reverse=True)


def test_inside_a_dense_block_all_features_so_far_are_read() -> None:
    with torch.device("meta"):
        backbone = timm.create_model("densenet_bc100_12", num_classes=100)
        middle = probe_taps(backbone, POSITIONS["densenet_bc100_12"][1:2], (3, 32, 32))[0]
    assert middle.channels == 24 + 8 * 12


def test_copies_of_stages_are_as_large_as_the_stages() -> None:
    with torch.device("meta"):
        backbone = timm.create_model("resnet18_cifar", num_classes=100)
        taps = ("layer1", "layer2", "layer3")
        branches = [
            Branch(tap, Grouping.identity(100), layout)
            for tap, layout in zip(taps, STAGE_COPIES, strict=True)
        ]
        model = SSALModel(backbone, branches)
    sizes = [sum(p.numel() for p in getattr(backbone, f"layer{n}").parameters()) for n in (2, 3, 4)]
    for number, branch in enumerate(model.branches):
        assert sum(p.numel() for p in branch.body.parameters()) == sum(sizes[number:])


def test_baselines_have_learning_rates_of_their_own() -> None:
    models = {entry.model for entry in PUBLISHED.values()}
    assert set(BASELINE_LR) <= models
    for model, lr in BASELINE_LR.items():
        assert all(lr < e.training["lr"] for e in PUBLISHED.values() if e.model == model)
