"""`create_backbone`: names of timm's, ours, and callables; what is refused, and with which words."""

import inspect

import pytest
import timm
import torch
from torch import nn

from ssal.backbones import create_backbone, list_backbones, published_input
from ssal.errors import InputError

MODULE = """
from functools import partial
from torch import nn

NUMBER = 3

class Net(nn.Module):
    def __init__(self, num_classes, in_chans=3, width=4, img_size=None):
        super().__init__()
        self.told = dict(num_classes=num_classes, in_chans=in_chans, width=width, img_size=img_size)

class Nested:
    @staticmethod
    def build(num_classes):
        return nn.Linear(2, num_classes)

def plain(num_classes):
    return nn.Linear(2, num_classes)

def anything(**kwargs):
    net = nn.Linear(2, kwargs["num_classes"])
    net.told = kwargs
    return net

narrow = partial(Net, width=2)

def no_classes(outputs=10):
    return nn.Linear(2, outputs)

def no_module(num_classes):
    return "a network"

def broken(num_classes):
    raise ZeroDivisionError("inside")
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "their_networks.py").write_text(MODULE)
    (tmp_path / "their_lacking.py").write_text("import a_package_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("name", list_backbones())
def test_ours_are_built_with_width_and_channels(name):
    net = create_backbone(name, num_classes=6, in_chans=1, input_size=(28, 28), width=4).eval()
    assert net(torch.randn(2, 1, 28, 28)).shape == (2, 6)
    assert net.in_chans == 1


def test_same_network_as_timms_own_call():
    torch.manual_seed(0)
    ours = create_backbone("resnet18_cifar", 10, width=8)
    torch.manual_seed(0)
    stock = timm.create_model("resnet18_cifar", num_classes=10, width=8)
    assert ours.state_dict().keys() == stock.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), stock.parameters(), strict=True))


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]
)
def test_timms_networks_take_the_size_of_the_images(name):
    with torch.device("meta"):
        net = create_backbone(name, 7, in_chans=1, input_size=(32, 64)).eval()
        assert net(torch.empty(2, 1, 32, 64)).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet50.tv_in1k", "vit_small_patch16_224"])
def test_what_published_weights_expect_is_what_timm_resolves(name):
    with torch.device("meta"):
        theirs = timm.data.resolve_model_data_config(timm.create_model(name))
    ours = published_input(name)
    assert ours == tuple(theirs[key] for key in ("mean", "std", "crop_pct", "interpolation"))


@pytest.mark.parametrize("name", ["resnet18_cifar", "package.module:make"])
def test_networks_without_published_weights_expect_nothing(name):
    assert published_input(name) is None


def test_weights_that_cannot_be_downloaded_are_one_line(monkeypatch):
    def offline(*args, **settings):
        raise FileNotFoundError("no such file in the cache")

    monkeypatch.setattr(timm.models._builder, "load_pretrained", offline)
    with pytest.raises(InputError, match="weights of 'resnet18' .* cannot be downloaded .* --weights"):
        create_backbone("resnet18", 7, pretrained=True)


def test_fixed_size_of_timm_stays_without_a_wish():
    with torch.device("meta"):
        net = create_backbone("vit_tiny_patch16_224", 7)
    assert net.patch_embed.img_size == (224, 224)


def test_a_tag_of_weights_is_a_name_too():
    with torch.device("meta"):
        assert create_backbone("test_resnet.r160_in1k", 4).num_classes == 4


def test_no_classes_gives_features():
    assert create_backbone("resnet18_cifar", 0, width=4)(torch.randn(2, 3, 32, 32)).shape == (2, 32)


@pytest.mark.usefixtures("user_module")
def test_callables_get_what_they_name():
    build = "their_networks:Net"
    told = create_backbone(build, 5, in_chans=1, input_size=(8, 9), width=16).told
    assert told == {"num_classes": 5, "in_chans": 1, "img_size": (8, 9), "width": 16}
    assert create_backbone(build, 5).told == {"num_classes": 5, "in_chans": 3, "img_size": None, "width": 4}
    assert create_backbone("their_networks:narrow", 5).told["width"] == 2
    assert create_backbone("their_networks:plain", 5, in_chans=1, input_size=(8, 8)).out_features == 5
    assert create_backbone("their_networks:Nested.build", 5).out_features == 5
    assert create_backbone("their_networks:anything", 5, in_chans=1).told == {"num_classes": 5}


def test_torchvisions_networks_are_callables():
    with torch.device("meta"):
        net = create_backbone("torchvision.models:resnet18", 9, input_size=(32, 32))
    assert isinstance(net, nn.Module)
    assert net.fc.out_features == 9


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet18_cifa", {}, "unknown model 'resnet18_cifa'; did you mean 'resnet18_cifar'"),
        ("WRN28_10x", {}, "unknown model 'WRN28_10x'; did you mean .*'wrn28_10'"),
        ("~~~", {}, "unknown model '~~~'; "),
        ("", {}, "unknown model ''; "),
        (
            "resnet18.a1_in2k",
            {},
            "unknown pretrained model 'resnet18.a1_in2k'; did you mean .*'resnet18.a1_in1k'",
        ),
        ("resnet18", {"width": 16}, "model 'resnet18' takes no width; these do: .*resnet18_cifar"),
        ("resnet18_cifar", {"width": 15}, "width is 15, but must be a positive even number"),
        ("resnet18_cifar", {"pretrained": True}, "'resnet18_cifar' has no published weights"),
        ("resnet18_cifar", {"num_classes": -1}, "num_classes is -1"),
        ("resnet18_cifar", {"in_chans": 0}, "in_chans 0"),
        (
            "their networks:plain",
            {},
            "neither a name known to timm nor of the form 'package.module:callable'",
        ),
        (":plain", {}, "neither a name known to timm nor of the form"),
        ("their_networks:", {}, "neither a name known to timm nor of the form"),
        ("no_such_module:plain", {}, "no module 'no_such_module' on the import path"),
        ("their_networks.inner:plain", {}, "no module 'their_networks.inner' on the import path"),
        ("their_networks:plane", {}, "unknown callable in 'their_networks' 'plane'; did you mean 'plain'"),
        ("their_networks:Nested.bild", {}, "unknown callable in 'their_networks' 'bild'"),
        ("their_networks:NUMBER", {}, "cannot be called: its type is int"),
        ("their_networks:no_module", {}, "returned no torch.nn.Module, but str"),
        ("their_networks:no_classes", {}, "takes no argument 'num_classes'"),
        ("their_networks:plain", {"width": 8}, "takes no argument 'width'"),
        ("their_networks:anything", {"width": 8}, "takes no argument 'width'"),
        ("their_networks:Net", {"pretrained": True}, "takes no argument 'pretrained'"),
        ("builtins:dict", {}, "takes no argument 'num_classes'"),
    ],
)
@pytest.mark.usefixtures("user_module")
def test_bad_input_is_one_clear_line(name, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        create_backbone(name, **{"num_classes": 5, **settings})
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("user_module")
def test_faults_of_others_are_not_hidden():
    with pytest.raises(ModuleNotFoundError, match="a_package_nobody_has"):
        create_backbone("their_lacking:build", 5)
    with pytest.raises(ZeroDivisionError, match="inside"):
        create_backbone("their_networks:broken", 5)


def test_the_defaults_stand_in_the_signatures():
    widths = {
        name: inspect.signature(timm.model_entrypoint(name)).parameters["width"].default
        for name in list_backbones()
    }
    assert widths["wrn28_10"] == 160
    assert widths["wrn16_2"] == 32
    assert widths["se_wrn16_8"] == 128
    assert widths["wide_resnet18_cifar"] == 96
    assert widths["densenet_bc190_40"] == 40
    assert {widths[n] for n in widths if n.startswith(("resnet", "deep", "dwr"))} == {64}
