import copy
import pickle
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from ssal.backbones import create_backbone
from ssal.errors import InputError
from ssal.taps import (
    TapStore,
    attach,
    choose_taps,
    find_layer,
    output_size,
    probe_taps,
    tappable_layers,
    to_maps,
)


class Dies(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.dropout = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        self.first(x)
        raise RuntimeError("on purpose")


class Odd(nn.Module):
    """A layer that gives a tuple, one that is never reached, and one that gives no samples."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 5, batch_first=True)
        self.idle = nn.Linear(3, 3)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def test_feature_formats_of_real_networks() -> None:
    conv = timm.create_model("resnet18", num_classes=5)
    (tap,) = probe_taps(conv, ["layer2"], (3, 64, 64))
    assert (tap.format, tap.feature) == ("NCHW", (128, 8, 8))

    vit = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=64)
    (tap,) = probe_taps(vit, ["blocks.3"], (3, 64, 64))
    assert (tap.format, tap.feature, tap.prefix_tokens) == ("NLC", (192, 4, 4), 1)
    (tap,) = probe_taps(vit, ["patch_embed"], (3, 64, 64))
    assert (tap.feature, tap.prefix_tokens) == ((192, 4, 4), 0)

    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5)
    first, third = probe_taps(swin, ["layers.0", "layers.2"], (3, 224, 224))
    assert (first.format, first.feature) == ("NHWC", (96, 56, 56))
    assert (third.format, third.feature) == ("NHWC", (384, 14, 14))


def test_ambiguous_sizes_follow_the_format_that_the_network_states() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(512, 2))
    assert probe_taps(net, ["0"], (3, 8, 8))[0].format == "NCHW"
    net.output_fmt = "NHWC"
    assert probe_taps(net, ["0"], (3, 8, 8))[0].format == "NHWC"


def test_wide_images_keep_rows_and_columns_apart() -> None:
    net = nn.Sequential(nn.Conv2d(3, 7, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 2))
    assert probe_taps(net, ["0"], (3, 16, 48))[0].feature == (7, 16, 48)


def test_maps_put_every_value_where_its_place_in_the_image_is() -> None:
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=64)
    (tap,) = probe_taps(vit, ["blocks.0"], (3, 64, 64))
    tokens = torch.arange(17.0).reshape(1, 17, 1).expand(2, 17, 192)
    maps = to_maps(tokens, tap)
    assert maps.shape == (2, 192, 4, 4)
    assert maps[0, 0].tolist() == torch.arange(1.0, 17).reshape(4, 4).tolist()

    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5)
    (tap,) = probe_taps(swin, ["layers.0"], (3, 224, 224))
    feature = torch.randn(2, 56, 56, 96)
    assert torch.equal(to_maps(feature, tap)[1, 5], feature[1, :, :, 5])


def test_unknown_layer_names_the_nearest() -> None:
    net = timm.create_model("resnet18", num_classes=5)
    with pytest.raises(InputError, match=r"unknown layer 'layr2'; did you mean .*'layer2'"):
        probe_taps(net, ["layr2"], (3, 32, 32))
    with pytest.raises(InputError, match="unknown layer ''"):
        find_layer(net, "")


def test_layers_that_cannot_be_read_say_why() -> None:
    with pytest.raises(InputError, match="'rnn' delivers tuple"):
        probe_taps(Odd(), ["rnn"], (6, 4))
    with pytest.raises(InputError, match="'idle' takes no part"):
        probe_taps(Odd(), ["idle"], (6, 4))


def test_probing_leaves_no_trace_even_after_an_error() -> None:
    net = Dies().train()
    net.dropout.eval()
    with pytest.raises(InputError, match="on purpose"):
        probe_taps(net, ["first"], (3, 8, 8))
    assert net.training and net.first.training and not net.dropout.training
    assert not net.first._forward_hooks
    assert torch.is_grad_enabled()

    whole = timm.create_model("resnet18", num_classes=5).train()
    before = copy.deepcopy(whole.state_dict())
    probe_taps(whole, ["layer1", "layer2"], (3, 32, 32))
    assert all(torch.equal(before[name], value) for name, value in whole.state_dict().items())
    assert all(module.training for module in whole.modules())
    assert not any(module._forward_hooks for module in whole.modules())


def test_hooks_follow_copies_and_pickles() -> None:
    store = TapStore()
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    attach(net, ["0"], store)
    copied_net, copied_store = copy.deepcopy((net, store))
    copied_net(torch.zeros(1, 3))
    assert "0" in copied_store.outputs
    again, store_again = pickle.loads(pickle.dumps((net, store)))
    again(torch.zeros(1, 3))
    assert "0" in store_again.outputs
    assert not store.outputs


def test_chosen_taps_are_stages_or_blocks_spread_over_the_depth() -> None:
    resnet = timm.create_model("resnet18", num_classes=5)
    assert choose_taps(resnet, 3, (3, 64, 64)) == ("layer1", "layer2", "layer3")
    assert choose_taps(resnet, 1, (3, 64, 64)) == ("layer3",)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=64)
    assert choose_taps(vit, 3, (3, 64, 64)) == ("blocks.3", "blocks.7", "blocks.10")
    dense = timm.create_model("densenet121", num_classes=5)
    transitions = ("features.transition1", "features.transition2", "features.transition3")
    assert choose_taps(dense, 3, (3, 64, 64)) == transitions
    small = create_backbone("densenet_bc100_12", 5)
    assert choose_taps(small, 3, (3, 32, 32)) == ("features.conv0", *transitions[:2])
    assert choose_taps(small, 2, (3, 32, 32)) == (transitions[0], transitions[1])
    assert "features.denseblock2" not in choose_taps(small, 4, (3, 32, 32))
    plain = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    assert choose_taps(plain, 2, (6,)) == ("0", "2")
    with pytest.raises(InputError, match="3 taps wanted, but only 2 layers"):
        choose_taps(plain, 3, (6,))


def test_layers_come_in_order_of_execution() -> None:
    names = [tap.name for tap in tappable_layers(timm.create_model("resnet18", num_classes=5), (3, 32, 32))]
    assert names.index("conv1") < names.index("layer1.0") < names.index("layer1") < names.index("layer4")


def test_output_size_needs_a_classifier() -> None:
    assert output_size(nn.Linear(3, 7), (3,)) == 7
    with pytest.raises(InputError, match="Conv2d is no classifier"):
        output_size(nn.Conv2d(3, 4, 1), (3, 8, 8))


def test_samples_that_a_network_cannot_take_are_named() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(InputError, match="^Sequential cannot be run on samples of 1×8×8: .*3 channels"):
        probe_taps(network, ["0"], (1, 8, 8))


def test_an_output_that_is_overwritten_in_place_is_no_tap() -> None:
    network = torchvision.models.resnet18(num_classes=5)
    names = {shape.name for shape in tappable_layers(network, (3, 64, 64))}
    assert {"relu", "maxpool", "layer1.0.conv1", "layer1.0", "layer1", "layer4"} <= names
    # Their outputs are written to by ReLUs in place, and by the sum with the shortcut.
    assert not {"bn1", "layer1.0.bn1", "layer1.0.bn2"} & names
    with pytest.raises(InputError, match="what layer 'layer1.0.bn2' delivers is overwritten in place"):
        probe_taps(network, ["layer1.0.bn2"], (3, 64, 64))


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "mobilenetv3_small_100", "efficientnet_b0"])
def test_what_can_be_tapped_stays_as_it_was_delivered(name: str) -> None:
    network = timm.create_model(name, num_classes=5).eval()
    shapes = tappable_layers(network, (3, 64, 64))
    layers, store, clones = dict(network.named_modules()), TapStore(), {}

    def keep(layer: str) -> Any:
        return lambda module, args, output: clones.update({layer: output.clone()})

    attach(network, [shape.name for shape in shapes], store)
    for shape in shapes:
        layers[shape.name].register_forward_hook(keep(shape.name))
    with torch.no_grad():
        network(torch.randn(2, 3, 64, 64))
    assert len(clones) == len(shapes) > 10
    assert all(torch.equal(store.outputs[layer], clone) for layer, clone in clones.items())
