"""ResNets (He et al. 2016) for small images, and the wider and deeper ResNet-18 of Table 2.

timm's `ResNet` does the work; only its stem is replaced, by a 3x3 convolution of stride 1. The paper's §4.2
speaks of a max-pooling before the first residual block: the networks whose names end in `_pool` have one
(3x3, stride 2), the others keep the full resolution in stage 1. Stage 1 reads the output of `maxpool`.

Convolutions start from Kaiming's normal distribution (fan-out) and norms from one, as in He et al. 2016.
`zero_init_last=True` starts the last norm of each residual path from zero, timm's convention for long
trainings; in short ones it costs much: after four epochs on 20,000 images of CIFAR-100 a ResNet-18 of
width 16 had 16.9 % right with it and 27.5 % without.
"""

from collections import OrderedDict
from typing import Any

import torch
from timm.layers import ConvNormAct
from timm.models import build_model_with_cfg
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn

from .registration import check_width, cifar_cfgs, initialise_fan_out, register

_FAMILIES = ("resnet18", "resnet34", "resnet50", "wide_resnet18", "deep_resnet18", "dwr_resnet18")
default_cfgs = cifar_cfgs(
    [f"{family}{stem}" for family in _FAMILIES for stem in ("_cifar", "_cifar_pool")],
    first_conv="conv1",
    classifier="fc",
)


def cifar_resnet(
    block: type[BasicBlock | Bottleneck],
    layers: tuple[int, int, int, int],
    *,
    width: int,
    extra_filters: int | None = None,
    pool_stride: int = 1,
    in_chans: int = 3,
    zero_init_last: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **kwargs: Any,
) -> ResNet:
    """Build timm's ResNet with a stem for small images.

    Args:
        block: timm's residual block.
        layers: number of blocks of each stage.
        width: channels w of the stem and the first stage, even; the stages have w, 2w, 4w and 8w.
        extra_filters: filters, an even number, of each of four more 3x3 convolutions (with norm and ReLU)
            before the first stage; none of them if None.
        pool_stride: stride of a 3x3 max-pooling after the stem's convolution; 1 for none.
        in_chans: channels of the image.
        zero_init_last: start the last norm of each residual path from zero instead of one.
        device: where the parameters lie; torch's default if None.
        dtype: type of the parameters; torch's default if None.
        **kwargs: what timm's ResNet takes (`num_classes`, `drop_rate`, `drop_path_rate`, `global_pool` …).

    Returns:
        a network that takes images [N, in_chans, H, W] to logits [N, num_classes].

    Raises:
        InputError: the width is not a positive even number.
    """
    check_width(width, step=2)
    # timm's plain stem always has 64 channels; its deep one, also replaced below, has twice stem_width.
    net = ResNet(
        block,  # pyright: ignore[reportArgumentType]  # timm's annotation has the instance, not the class
        layers,
        in_chans=in_chans,
        channels=(width, 2 * width, 4 * width, 8 * width),
        stem_type="deep",
        stem_width=(extra_filters or width) // 2,
        zero_init_last=zero_init_last,
        **kwargs,
    )
    net.conv1 = nn.Conv2d(in_chans, width, kernel_size=3, padding=1, bias=False)
    net.bn1 = nn.BatchNorm2d(width)
    # timm runs this slot between stem and stages, and itself puts convolutions there in some networks.
    net.maxpool = nn.MaxPool2d(3, pool_stride, padding=1) if pool_stride > 1 else nn.Identity()
    if extra_filters is not None:
        steps: OrderedDict[str, nn.Module] = OrderedDict(pool=net.maxpool)
        for number in range(1, 5):
            steps[f"extra{number}"] = ConvNormAct(width if number == 1 else extra_filters, extra_filters, 3)
        net.maxpool = nn.Sequential(steps)
    initialise_fan_out(net.conv1)
    initialise_fan_out(net.maxpool)
    reductions = (1, pool_stride, 2 * pool_stride, 4 * pool_stride, 8 * pool_stride)
    net.feature_info = [
        {**stage, "reduction": reduction}
        for stage, reduction in zip(net.feature_info, reductions, strict=True)
    ]
    net.feature_info[0]["num_chs"] = width
    return net.to(device=device, dtype=dtype)


def _resnet18(name: str, pretrained: bool, **kwargs: Any) -> ResNet:
    return build_model_with_cfg(
        cifar_resnet, name, pretrained, block=BasicBlock, layers=(2, 2, 2, 2), **kwargs
    )


def _resnet34(name: str, pretrained: bool, **kwargs: Any) -> ResNet:
    return build_model_with_cfg(
        cifar_resnet, name, pretrained, block=BasicBlock, layers=(3, 4, 6, 3), **kwargs
    )


def _resnet50(name: str, pretrained: bool, **kwargs: Any) -> ResNet:
    return build_model_with_cfg(
        cifar_resnet, name, pretrained, block=Bottleneck, layers=(3, 4, 6, 3), **kwargs
    )


@register
def resnet18_cifar(pretrained: bool = False, *, width: int = 64, **kwargs: Any) -> ResNet:
    """ResNet-18."""
    return _resnet18("resnet18_cifar", pretrained, width=width, **kwargs)


@register
def resnet34_cifar(pretrained: bool = False, *, width: int = 64, **kwargs: Any) -> ResNet:
    """ResNet-34: with three quarters of the width it costs an eighth more than `resnet18_cifar`."""
    return _resnet34("resnet34_cifar", pretrained, width=width, **kwargs)


@register
def resnet50_cifar(pretrained: bool = False, *, width: int = 64, **kwargs: Any) -> ResNet:
    """ResNet-50."""
    return _resnet50("resnet50_cifar", pretrained, width=width, **kwargs)


@register
def wide_resnet18_cifar(pretrained: bool = False, *, width: int = 96, **kwargs: Any) -> ResNet:
    """ResNet-18 with half as many filters again in every convolution (§4.3, WideResNet18)."""
    return _resnet18("wide_resnet18_cifar", pretrained, width=width, **kwargs)


@register
def deep_resnet18_cifar(pretrained: bool = False, *, width: int = 64, **kwargs: Any) -> ResNet:
    """ResNet-18 after four more 3x3 convolutions of 4w filters (§4.3, DeepResNet18)."""
    return _resnet18("deep_resnet18_cifar", pretrained, width=width, extra_filters=4 * width, **kwargs)


@register
def dwr_resnet18_cifar(pretrained: bool = False, *, width: int = 64, **kwargs: Any) -> ResNet:
    """ResNet-18 after four more 3x3 convolutions of 8w filters (§4.3, DWRResNet18)."""
    return _resnet18("dwr_resnet18_cifar", pretrained, width=width, extra_filters=8 * width, **kwargs)


@register
def resnet18_cifar_pool(pretrained: bool = False, *, width: int = 64, **kwargs: Any) -> ResNet:
    """Like `resnet18_cifar`, with a max-pooling after the stem's convolution (§4.2)."""
    return _resnet18("resnet18_cifar_pool", pretrained, width=width, pool_stride=2, **kwargs)


@register
def resnet34_cifar_pool(pretrained: bool = False, *, width: int = 64, **kwargs: Any) -> ResNet:
    """Like `resnet34_cifar`, with a max-pooling after the stem's convolution."""
    return _resnet34("resnet34_cifar_pool", pretrained, width=width, pool_stride=2, **kwargs)


@register
def resnet50_cifar_pool(pretrained: bool = False, *, width: int = 64, **kwargs: Any) -> ResNet:
    """Like `resnet50_cifar`, with a max-pooling after the stem's convolution (§4.2)."""
    return _resnet50("resnet50_cifar_pool", pretrained, width=width, pool_stride=2, **kwargs)


@register
def wide_resnet18_cifar_pool(pretrained: bool = False, *, width: int = 96, **kwargs: Any) -> ResNet:
    """Like `wide_resnet18_cifar`, with a max-pooling after the stem's convolution (§4.2)."""
    return _resnet18("wide_resnet18_cifar_pool", pretrained, width=width, pool_stride=2, **kwargs)


@register
def deep_resnet18_cifar_pool(pretrained: bool = False, *, width: int = 64, **kwargs: Any) -> ResNet:
    """Like `deep_resnet18_cifar`, with a max-pooling after the stem's convolution (§4.2)."""
    return _resnet18(
        "deep_resnet18_cifar_pool", pretrained, width=width, extra_filters=4 * width, pool_stride=2, **kwargs
    )


@register
def dwr_resnet18_cifar_pool(pretrained: bool = False, *, width: int = 64, **kwargs: Any) -> ResNet:
    """Like `dwr_resnet18_cifar`, with a max-pooling after the stem's convolution (§4.2)."""
    return _resnet18(
        "dwr_resnet18_cifar_pool", pretrained, width=width, extra_filters=8 * width, pool_stride=2, **kwargs
    )
