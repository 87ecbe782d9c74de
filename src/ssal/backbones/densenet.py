"""DenseNet-BC (Huang et al. 2017) for small images, out of timm's `DenseNet` with another stem.

The stem is a 3x3 convolution of stride 1 to twice the growth rate, without norm or pooling: each layer of a
DenseNet begins with its own norm. Three equal blocks follow, with size and channels halved in between. Stages
keep timm's names, `features.denseblock1` …; `width` is the growth rate. Convolutions start from Kaiming's
normal distribution (fan-out), as in the authors' code; there is no residual path, no norm starts at zero.
"""

from typing import Any

import torch
from timm.models import build_model_with_cfg
from timm.models.densenet import DenseNet
from torch import nn

from .registration import check_width, cifar_cfgs, initialise_fan_out, register

default_cfgs = cifar_cfgs(
    ["densenet_bc100_12", "densenet_bc190_40"], first_conv="features.conv0", classifier="classifier"
)


def cifar_densenet(
    depth: int,
    *,
    width: int,
    in_chans: int = 3,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **kwargs: Any,
) -> DenseNet:
    """Build timm's DenseNet with a stem for small images.

    Args:
        depth: number of layers, 6n + 4 for n bottleneck layers in each of the three blocks.
        width: growth rate k, the channels that each layer adds; the stem has 2k.
        in_chans: channels of the image.
        device: where the parameters lie; torch's default if None.
        dtype: type of the parameters; torch's default if None.
        **kwargs: what timm's DenseNet takes (`num_classes`, `drop_rate`, `proj_drop_rate`, `global_pool` …).

    Returns:
        a network that takes images [N, in_chans, H, W] to logits [N, num_classes].

    Raises:
        InputError: the width is below 1.
    """
    check_width(width)
    net = DenseNet(width, ((depth - 4) // 6,) * 3, in_chans=in_chans, **kwargs)
    net.features.conv0 = nn.Conv2d(in_chans, 2 * width, kernel_size=3, padding=1, bias=False)
    # Emptied, not removed: timm counts positions in `features` when it hands out intermediate features.
    net.features.norm0 = nn.Identity()
    net.features.pool0 = nn.Identity()
    initialise_fan_out(net)
    stem, *stages = net.feature_info
    net.feature_info = [
        {**stem, "reduction": 1, "module": "features.conv0"},
        *({**stage, "reduction": 2**number} for number, stage in enumerate(stages)),
    ]
    return net.to(device=device, dtype=dtype)


def _build(name: str, pretrained: bool, **kwargs: Any) -> DenseNet:
    feature_cfg = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}
    return build_model_with_cfg(cifar_densenet, name, pretrained, feature_cfg=feature_cfg, **kwargs)


@register
def densenet_bc100_12(pretrained: bool = False, *, width: int = 12, **kwargs: Any) -> DenseNet:
    """DenseNet-BC-100-12."""
    return _build("densenet_bc100_12", pretrained, depth=100, width=width, **kwargs)


@register
def densenet_bc190_40(pretrained: bool = False, *, width: int = 40, **kwargs: Any) -> DenseNet:
    """DenseNet-BC-190-40."""
    return _build("densenet_bc190_40", pretrained, depth=190, width=width, **kwargs)
