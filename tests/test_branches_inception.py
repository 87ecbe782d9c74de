"""Shapes and parameter counts of the Inception blocks; torchvision's Inception-v3 as the second opinion."""

import pytest
import torch
from torch import nn
from torchvision.models import inception as reference

from ssal.branches import Inception, InceptionC, InceptionD, InceptionE, build_branch
from ssal.branches.inception import scaled
from ssal.cost import count_parameters


def test_inception_has_the_published_channels_and_weights() -> None:
    block = Inception(64)
    assert block(torch.randn(2, 64, 7, 7)).shape == (2, 748, 7, 7)
    assert block.channels == 748
    convolutions = (
        64 * 128 + 64 * 128 + 2 * 3 * 128 * 128 + 64 * 160 + 160 * 128 + 2 * 3 * 128 * 128 + 3 * 64 * 108
    )
    norms = 2 * (128 * 6 + 160 + 128 + 108)
    assert count_parameters(block) == convolutions + norms


def convolutions(block: nn.Module) -> list[tuple[int, int, tuple[int, ...], tuple[int, ...]]]:
    return sorted(
        (m.in_channels, m.out_channels, tuple(m.kernel_size), tuple(m.stride))
        for m in block.modules()
        if isinstance(m, nn.Conv2d)
    )


@pytest.mark.parametrize(
    ("block", "theirs", "channels"),
    [
        (InceptionC(768), reference.InceptionC(768, channels_7x7=192), 768),
        (InceptionD(768), reference.InceptionD(768), 1280),
        (InceptionE(1280), reference.InceptionE(1280), 2048),
    ],
)
def test_full_width_is_inception_v3(block: nn.Module, theirs: nn.Module, channels: int) -> None:
    assert block.channels == channels
    assert convolutions(block) == convolutions(theirs)
    assert count_parameters(block) == count_parameters(theirs)


@pytest.mark.parametrize("kind", [Inception, InceptionC, InceptionD, InceptionE])
@pytest.mark.parametrize("percent", [1, 12, 50, 100])
def test_the_width_scales_all_filters(kind: type[nn.Module], percent: int) -> None:
    block, full = kind(24, percent), kind(24, 100)
    for thin, wide in zip(block.modules(), full.modules(), strict=True):
        if isinstance(wide, nn.Conv2d):
            assert thin.out_channels == max(8, round(wide.out_channels * percent / 100))
            assert thin.kernel_size == wide.kernel_size
    maps = block(torch.randn(2, 24, 5, 6))
    assert maps.shape == (2, block.channels, *((3, 3) if kind is InceptionD else (5, 6)))


def test_half_width_stack_of_the_imagenet_branches() -> None:
    branch = build_branch(
        "cbr 256,3,2 | inception_c 50 | inception_d 50 | inception_e 50 | gap", (256, 9, 9), 7
    )
    assert [module.channels for module in list(branch.body)[1:4]] == [384, 384 + 256, 1024]
    assert branch(torch.randn(2, 256, 9, 9)).shape == (2, 7)


@pytest.mark.parametrize("size", [1, 2])
def test_tiny_maps_can_be_read(size: int) -> None:
    layout = "inception 10 | inception_c 10 | inception_d 10 | inception_e 10 | gap"
    assert build_branch(layout, (4, size, size), 3)(torch.randn(2, 4, size, size)).shape == (2, 3)


def test_nothing_is_widened_to_the_minimum() -> None:
    assert [scaled(filters, 0.1) for filters in (3, 8, 9, 200)] == [3, 8, 8, 20]
