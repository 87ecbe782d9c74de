"""Layers that would corrupt memory in channels-last get contiguous input in training, no others."""

import subprocess
import sys

import pytest
import timm
import torch
from torch import nn

import ssal.backbones  # noqa: F401  (registers our networks)
from ssal.config import make_settings
from ssal.run.prepare import prepare
from ssal.training import collect_outputs
from ssal.training.memoryformat import safe_channels_last

NARROW = """
import torch
from ssal.config import make_settings
from ssal.run.prepare import prepare
from ssal.training import fit
torch.set_num_threads(1)
for _ in range(3):
    settings = {"data": "digits", "width": 4, "epochs": 1, "precision": "32", "batch_size": 64}
    job = prepare(make_settings(settings | {"groups": [2, 3]}))
    fit(job.make_model(job.blank_groupings()), job.train_loader(), job.eval_loader(job.heldout), job.plan())
"""


def guarded(model: nn.Module) -> list[str]:
    """Names of the layers that get contiguous input inside the block."""
    with safe_channels_last(model):
        found = [name for name, layer in model.named_modules() if layer._forward_pre_hooks]
    assert not any(layer._forward_pre_hooks for layer in model.modules()), "hooks are left behind"
    return found


@pytest.mark.parametrize("capability, safe_from", [("AVX2", 8), ("AVX512", 16), ("DEFAULT", 8)])
def test_strided_pointwise_convolutions_need_a_full_block_of_channels(
    monkeypatch: pytest.MonkeyPatch, capability: str, safe_from: int
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    for channels in (1, 3, 7, 8, 12, 15, 16, 64):
        layers = nn.Sequential(nn.Conv2d(channels, 2 * channels, 1, stride=2))
        assert guarded(layers) == ([] if channels >= safe_from else ["0"]), channels


def test_other_layers_are_left_alone() -> None:
    layers = [
        nn.Conv2d(3, 8, 3, stride=2),
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(64, 64, 1, stride=2),
        nn.Linear(3, 4),
    ]
    assert guarded(nn.Sequential(*layers)) == []
    assert guarded(nn.Sequential(nn.Conv2d(64, 64, 1, stride=2, groups=16))) == ["0"]
    for name in ("resnet18_cifar", "wrn16_2", "resnet50", "convnext_tiny"):
        assert guarded(timm.create_model(name)) == [], name


def test_hooks_go_after_an_error_too() -> None:
    layer = nn.Conv2d(4, 8, 1, stride=2)
    with pytest.raises(ZeroDivisionError), safe_channels_last(layer):
        raise ZeroDivisionError
    assert not layer._forward_pre_hooks


def test_results_do_not_depend_on_it() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 8, 1, stride=2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(2, 4, 6, 6).to(memory_format=torch.channels_last)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    with safe_channels_last(layer):
        seen = layer(images)
    wanted = torch.einsum("nchw,oc->nohw", images[:, :, ::2, ::2], weight[:, :, 0, 0]) + bias[:, None, None]
    torch.testing.assert_close(seen, wanted)


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (2, 4, 1, 1), (2, 4, 4, 4)])
def test_layers_see_plainly_contiguous_input(shape: tuple[int, ...]) -> None:
    layer, strides = nn.Conv2d(shape[1], 8, 1, stride=2), []
    images = torch.randn(shape).to(memory_format=torch.channels_last)
    with safe_channels_last(layer):
        layer.register_forward_pre_hook(lambda _, arguments: strides.append(arguments[0].stride()))
        layer(images)
    assert strides == [torch.empty(shape).stride()]


def test_a_narrow_residual_network_survives_its_training() -> None:
    done = subprocess.run([sys.executable, "-c", NARROW], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]


def test_weights_that_are_laid_out_anew_for_an_evaluation_can_be_trained_again() -> None:
    job = prepare(make_settings({"data": "digits", "width": 4, "epochs": 1, "images_per_class": 4}))
    model = job.make_model(())
    assert not model.backbone.conv1.weight.is_inference()
    collect_outputs(model, job.eval_loader(job.heldout)(rank=0, world_size=1))
    assert not any(parameter.is_inference() for parameter in model.parameters())
    with safe_channels_last(model):
        model(torch.randn(2, *model.input_shape)).main.sum().backward()
    assert model.backbone.conv1.weight.grad is not None
