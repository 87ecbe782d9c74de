"""What every network of `ssal.backbones` promises to timm's users, at small width."""

import copy
import importlib
import math
import warnings

import pytest
import timm
import torch
from torch import nn

from ssal import backbones
from ssal.errors import InputError

RESNETS = [name for name in backbones.list_backbones() if "resnet" in name]
WRNS = ["se_wrn16_8", "wrn16_2", "wrn28_10"]
DENSENETS = ["densenet_bc100_12", "densenet_bc190_40"]
NAMES = RESNETS + WRNS + DENSENETS


def small(name, **kwargs):
    torch.manual_seed(0)
    return timm.create_model(name, width=2 if name in DENSENETS else 8, **kwargs)


def randomise_norms(net):
    """Give the norms values under which no path is silent (the last of a ResNet block starts at zero)."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net


def test_the_names_of_the_design_are_all_registered():
    stems = ["", "wide_", "deep_", "dwr_"]
    expected = {f"{stem}resnet18_cifar{pool}" for stem in stems for pool in ("", "_pool")}
    expected |= {f"resnet{depth}_cifar{pool}" for depth in (34, 50) for pool in ("", "_pool")}
    expected |= {*WRNS, *DENSENETS}
    assert set(backbones.list_backbones()) == expected == set(NAMES)
    assert expected <= set(timm.list_models())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("in_chans", [1, 3])
def test_forward_and_backward(name, in_chans):
    net = small(name, num_classes=5, in_chans=in_chans)
    for size in {1: (28, 32), 3: (32, 64)}[in_chans]:
        net.zero_grad()
        logits = net(torch.randn(2, in_chans, size, size))
        assert logits.shape == (2, 5)
        logits.square().sum().backward()
        for key, parameter in net.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
    conv = net.get_submodule(net.default_cfg["first_conv"])
    assert conv.in_channels == in_chans
    assert conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_feature_info_tells_channels_and_reductions(name):
    net = small(name).eval()
    seen = {}
    for info in net.feature_info:
        module = net.get_submodule(info["module"])
        module.register_forward_hook(lambda _m, _i, out, key=info["module"]: seen.update({key: out.shape}))
    with torch.no_grad():
        net(torch.randn(1, 3, 64, 64))
    for info in net.feature_info:
        side = 64 // info["reduction"]
        assert seen[info["module"]] == (1, info["num_chs"], side, side), info
    assert net.feature_info[-1]["num_chs"] == net.num_features


@pytest.mark.parametrize("name", NAMES)
def test_timm_gives_the_features_alone(name):
    net = small(name, features_only=True).eval()
    with torch.no_grad():
        features = net(torch.randn(1, 3, 32, 32))
    assert [f.shape[1] for f in features] == net.feature_info.channels()
    assert [32 // f.shape[2] for f in features] == net.feature_info.reduction()


@pytest.mark.parametrize("name", RESNETS + WRNS)
def test_stages_are_called_layers_and_width_is_the_first_ones(name):
    net = small(name)
    factor = 4 if "50" in name else 1
    stages = [info for info in net.feature_info if info["module"].startswith("layer")]
    assert [s["module"] for s in stages] == [f"layer{i}" for i in range(1, len(stages) + 1)]
    assert [s["num_chs"] for s in stages] == [8 * factor * 2**i for i in range(len(stages))]


def test_the_pooling_stem_halves_the_resolution_before_stage_1():
    for name in (n for n in RESNETS if n.endswith("_pool")):
        plain = [i["reduction"] for i in small(name.removesuffix("_pool")).feature_info]
        assert plain == [1, 1, 2, 4, 8]
        assert [i["reduction"] for i in small(name).feature_info] == [1, 2, 4, 8, 16]


def test_densenet_width_is_the_growth_rate():
    net = timm.create_model("densenet_bc100_12", width=6)
    assert net.features.conv0.out_channels == 12
    assert all(layer.conv2.out_channels == 6 for layer in net.features.denseblock2.values())


@pytest.mark.parametrize("name", NAMES)
def test_state_loads_strictly_into_a_fresh_network_and_gives_the_same(name):
    net = randomise_norms(small(name)).eval()
    torch.manual_seed(1)
    fresh = timm.create_model(name, width=2 if name in DENSENETS else 8).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(net(images), fresh(images))
        fresh.load_state_dict(net.state_dict(), strict=True)
        assert torch.equal(net(images), fresh(images))
        assert torch.equal(net(images), copy.deepcopy(net)(images))


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_gives_the_same(name):
    net = randomise_norms(small(name)).double().eval()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = net(images)
        logits = net.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_classifier_and_head_follow_timm(name):
    net = small(name, num_classes=7).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        features = net.forward_features(images)
        assert features.shape[1] == net.num_features
        torch.testing.assert_close(net.forward_head(features), net(images))
        pooled = net.forward_head(features, pre_logits=True)
        torch.testing.assert_close(pooled, features.mean((2, 3)))
        torch.testing.assert_close(net.get_classifier()(pooled), net(images))
        assert net.get_submodule(net.pretrained_cfg["classifier"]) is net.get_classifier()
        net.reset_classifier(11)
        assert net(images).shape == (2, 11)
        assert net.num_classes == 11
        net.reset_classifier(0)
        torch.testing.assert_close(net(images), pooled)
    assert timm.create_model(name, width=8, num_classes=0).get_classifier().__class__ is nn.Identity


@pytest.mark.parametrize("name", NAMES)
def test_default_configuration_is_that_of_cifar(name):
    cfg = timm.get_pretrained_cfg(name)
    assert cfg.input_size == (3, 32, 32)
    assert cfg.num_classes == 100
    assert not cfg.fixed_input_size
    assert not cfg.has_weights
    assert (
        timm.data.resolve_data_config({}, model=small(name))["mean"] == cfg.mean == (0.5071, 0.4865, 0.4409)
    )


@pytest.mark.parametrize("name", NAMES)
def test_drop_rate_acts_in_training_alone(name):
    net = small(name, drop_rate=0.5)
    features = torch.rand(2, net.num_features, 4, 4)
    net.train()
    assert (net.forward_head(features, pre_logits=True) == 0).any()
    net.eval()
    torch.testing.assert_close(net.forward_head(features, pre_logits=True), features.mean((2, 3)))


@pytest.mark.parametrize("name", ["wrn16_2", "densenet_bc100_12"])
def test_dropout_inside_the_blocks(name):
    net = randomise_norms(small(name, proj_drop_rate=0.5))
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        net.eval()
        assert torch.equal(net(images), net(images))
        net.train()
        assert not torch.equal(net(images), net(images))


@pytest.mark.parametrize("name", NAMES)
def test_placement_and_type_of_the_parameters(name):
    net = small(name, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in net.parameters()} == {("meta", torch.bfloat16)}


@pytest.mark.parametrize(
    "name", ["resnet18_cifar", "deep_resnet18_cifar_pool", "wrn16_2", "densenet_bc100_12"]
)
def test_convolutions_start_from_kaiming_fan_out(name):
    torch.manual_seed(0)
    net = timm.create_model(name)
    checked = 0
    for key, conv in net.named_modules():
        if isinstance(conv, nn.Conv2d) and conv.weight.numel() > 2000:
            fan_out = conv.out_channels * math.prod(conv.kernel_size)
            error = 5 / math.sqrt(2 * conv.weight.numel())  # five standard errors of a standard deviation
            assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=error), key
            checked += 1
    assert checked > 5


def test_residual_paths_start_from_zero_on_request_only():
    def silent(net: nn.Module) -> int:
        return sum(isinstance(m, nn.BatchNorm2d) and not m.weight.any() for m in net.modules())

    assert all(silent(small(name)) == 0 for name in NAMES)
    assert silent(small("resnet18_cifar", zero_init_last=True)) == 8
    assert silent(small("resnet50_cifar", zero_init_last=True)) == 16


def test_a_reload_registers_anew_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for module in (backbones.resnet, backbones.wrn, backbones.densenet):
            importlib.reload(module)
    assert timm.model_entrypoint("wrn16_2") is backbones.wrn.wrn16_2


@pytest.mark.parametrize(
    ("name", "width", "allowed"),
    [
        ("resnet18_cifar", 15, "a positive even number"),
        ("dwr_resnet18_cifar", 0, "a positive even number"),
        ("wrn16_2", 0, "1 or more"),
        ("densenet_bc100_12", -4, "1 or more"),
    ],
)
def test_impossible_widths_are_refused(name, width, allowed):
    with pytest.raises(InputError, match=f"^width is {width}, but must be {allowed}$"):
        timm.create_model(name, width=width)
