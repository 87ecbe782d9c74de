"""Parts of backbones: ours, timm's convolutional, channels-last and token networks, and plain modules."""

import pytest
import timm
import torch
from torch import nn

import ssal.backbones  # noqa: F401  (registers the names)
from ssal.errors import InputError
from ssal.experiments.rivals.surgery import (
    TappedBackbone,
    classifier_name,
    cut_after,
    deepest_maps,
    without_classifier,
)
from ssal.taps import choose_taps, to_maps

BACKBONES = {
    "resnet18_cifar": {"width": 8},
    "wrn16_2": {"width": 8},
    "densenet_bc100_12": {"width": 2},
    "test_resnet": {},
    "test_convnext": {},
    "test_efficientnet": {},
    "test_vit": {"img_size": 32},
}
DEEPEST = {"resnet18_cifar": "layer4", "wrn16_2": "norm", "densenet_bc100_12": "features", "test_vit": "norm"}
SHAPE = (3, 32, 32)


def backbone(name: str) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=5, **BACKBONES[name])


def plain() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.Dropout()
    )


@pytest.mark.parametrize("name", BACKBONES)
def test_pooled_features_are_what_the_classifier_reads(name: str) -> None:
    images = torch.randn(2, *SHAPE)
    model = backbone(name).eval()
    classifier = model.get_classifier()
    expected = model(images)
    headless, width = without_classifier(model, SHAPE)
    features = headless(images)
    assert features.shape == (2, width) == (2, classifier.in_features)
    torch.testing.assert_close(classifier(features), expected)


@pytest.mark.parametrize("name", BACKBONES)
def test_deepest_maps_are_those_that_are_pooled(name: str) -> None:
    model, images = backbone(name).eval(), torch.randn(2, *SHAPE)
    tap = deepest_maps(model, SHAPE)
    assert tap == DEEPEST.get(name, tap)
    trunk = TappedBackbone(model, [tap], SHAPE)
    maps = trunk(images)[1][0]
    torch.testing.assert_close(maps, to_maps(model.forward_features(images), trunk.shapes[0]))


@pytest.mark.parametrize("name", BACKBONES)
def test_a_stem_computes_the_same_and_has_no_idle_weights(name: str) -> None:
    model, images = backbone(name), torch.randn(2, *SHAPE)
    tap = choose_taps(model, 1, SHAPE)[0]
    expected = TappedBackbone(backbone(name), [tap], SHAPE).eval()(images)[1][0]
    stem = TappedBackbone(cut_after(model, tap, SHAPE), [tap], SHAPE)
    torch.testing.assert_close(stem.eval()(images)[1][0], expected)
    stem.train()(images)[1][0].sum().backward()
    assert all(parameter.grad is not None for parameter in stem.parameters())
    whole = sum(parameter.numel() for parameter in backbone(name).parameters())
    assert sum(parameter.numel() for parameter in stem.parameters()) < whole


def test_plain_modules() -> None:
    model = plain()
    assert classifier_name(model, SHAPE) == "4"
    assert deepest_maps(model, SHAPE) == "0"
    cut_after(model, "1", SHAPE)
    assert model(torch.zeros(2, *SHAPE)).shape == (2, 4, 30, 30)


def test_modes_and_hooks_are_left_alone() -> None:
    model = backbone("resnet18_cifar").train()
    model.layer1.eval()
    modes = [module.training for module in model.modules()]
    classifier_name(model, SHAPE)
    deepest_maps(model, SHAPE)
    with pytest.raises(InputError, match="cannot be run on samples of 4×32×32"):
        classifier_name(model, (4, 32, 32))
    assert [module.training for module in model.modules()] == modes
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    assert sum(hooks) == 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_two_taps_on_one_layer_read_the_same() -> None:
    trunk = TappedBackbone(plain(), ["1", "1"], SHAPE)
    first, second = trunk(torch.randn(2, *SHAPE))[1]
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: without_classifier(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), (3,)), "linear layer"),
        (lambda: deepest_maps(nn.Linear(3, 4), (3,)), "no layer of Linear delivers maps"),
        (lambda: cut_after(plain(), "7", SHAPE), "unknown layer '7'"),
    ],
)
def test_what_cannot_be_found_is_said(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_layer_that_does_not_run_is_no_place_to_cut() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    with pytest.raises(InputError, match="takes no part in the forward pass"):
        cut_after(Idle(), "idle", (3,))


def test_a_network_that_needs_its_later_layers_cannot_be_cut() -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.second(self.first(x))

    with pytest.raises(InputError, match="Skipping cannot be cut after 'first'"):
        cut_after(Skipping(), "first", (3,))
