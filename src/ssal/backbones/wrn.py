"""Wide residual networks (Zagoruyko and Komodakis 2016), also with squeeze-and-excitation (Hu et al. 2018).

timm's networks called "wide" are ordinary ResNets with wider bottlenecks; these are the pre-activation ones
that the CIFAR tables of the literature mean. Convolutions start from Kaiming's normal distribution (fan-out),
as in the authors' code. No norm starts from zero: none ends a residual path here.
"""

from collections.abc import Callable
from typing import Any

import torch
from timm.layers import BatchNormAct2d, ClassifierHead, SEModule
from timm.models import build_model_with_cfg
from torch import nn

from .registration import check_width, cifar_cfgs, initialise_fan_out, register

STEM_CHANNELS = 16

default_cfgs = cifar_cfgs(["wrn16_2", "wrn28_10", "se_wrn16_8"], first_conv="conv1", classifier="head.fc")


class PreActivationBlock(nn.Module):
    """Norm, ReLU and 3x3 convolution, twice, added to the input.

    Where the shape changes, a 1x1 convolution of the activated input takes the place of the input.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        stride: stride of the first convolution.
        attention: from a number of channels to a module that keeps the shape; it ends the residual path.
        proj_drop_rate: dropout between the two convolutions.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        attention: Callable[[int], nn.Module],
        proj_drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.bn1 = BatchNormAct2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = BatchNormAct2d(out_channels)
        self.drop = nn.Dropout(proj_drop_rate)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.attention = attention(out_channels)
        self.shortcut = (
            None
            if stride == 1 and in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take features [N, in_channels, H, W] to [N, out_channels, H / stride, W / stride]."""
        y = self.bn1(x)
        shortcut = x if self.shortcut is None else self.shortcut(y)
        y = self.drop(self.bn2(self.conv1(y)))
        return shortcut + self.attention(self.conv2(y))


class WideResNet(nn.Module):
    """WRN-d-w: 3x3 convolution to 16 channels, three stages of pre-activation blocks, norm, pooling, linear.

    Args:
        depth: d of the name, 6n + 4 for n blocks in each stage.
        width: channels of the first stage, 16w; the others have two and four times that.
        num_classes: classes to tell apart; 0 for none, then the network puts out its pooled features.
        in_chans: channels of the image.
        global_pool: timm's name of the pooling.
        drop_rate: dropout before the classifier.
        proj_drop_rate: dropout between the convolutions of each block (0.3 in the authors' dropout variant).
        attention: from a number of channels to a module at the end of each residual path.
        device: where the parameters lie; torch's default if None.
        dtype: type of the parameters; torch's default if None.

    Raises:
        InputError: the width is below 1.
    """

    def __init__(
        self,
        depth: int,
        width: int,
        num_classes: int = 100,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attention: Callable[[int], nn.Module] = nn.Identity,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_width(width)
        self.num_classes = num_classes
        self.in_chans = in_chans
        blocks = (depth - 4) // 6

        def stage(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
            first = PreActivationBlock(in_channels, out_channels, stride, attention, proj_drop_rate)
            others = (
                PreActivationBlock(out_channels, out_channels, 1, attention, proj_drop_rate)
                for _ in range(blocks - 1)
            )
            return nn.Sequential(first, *others)

        self.conv1 = nn.Conv2d(in_chans, STEM_CHANNELS, 3, padding=1, bias=False)
        self.layer1 = stage(STEM_CHANNELS, width, 1)
        self.layer2 = stage(width, 2 * width, 2)
        self.layer3 = stage(2 * width, 4 * width, 2)
        self.norm = BatchNormAct2d(4 * width)
        self.head = ClassifierHead(4 * width, num_classes, pool_type=global_pool, drop_rate=drop_rate)
        self.num_features = 4 * width
        self.head_hidden_size: int = self.head.num_features
        self.feature_info = [
            {"num_chs": STEM_CHANNELS, "reduction": 1, "module": "conv1"},
            {"num_chs": width, "reduction": 1, "module": "layer1"},
            {"num_chs": 2 * width, "reduction": 2, "module": "layer2"},
            {"num_chs": 4 * width, "reduction": 4, "module": "layer3"},
        ]
        initialise_fan_out(self)
        self.to(device=device, dtype=dtype)

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer."""
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a new, untrained classifier in the place of the present one.

        Args:
            num_classes: classes of the new classifier; 0 for none.
            global_pool: timm's name of the pooling; the present one is kept if None.
        """
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)
        self.head_hidden_size = self.head.num_features

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Take images [N, in_chans, H, W] to activated features [N, num_features, H / 4, W / 4]."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.norm(x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Take what `forward_features` returns to logits [N, num_classes].

        Args:
            x: features [N, num_features, H, W].
            pre_logits: stop before the classifier, as in timm's networks.

        Returns:
            logits, or pooled features [N, num_features].
        """
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take images [N, in_chans, H, W] to logits [N, num_classes]."""
        return self.forward_head(self.forward_features(x))


def _build(name: str, pretrained: bool, **kwargs: Any) -> WideResNet:
    return build_model_with_cfg(
        WideResNet, name, pretrained, feature_cfg={"out_indices": (0, 1, 2, 3)}, **kwargs
    )


@register
def wrn16_2(pretrained: bool = False, *, width: int = 32, **kwargs: Any) -> WideResNet:
    """WRN-16-2; with `width=128` it is WRN-16-8."""
    return _build("wrn16_2", pretrained, depth=16, width=width, **kwargs)


@register
def wrn28_10(pretrained: bool = False, *, width: int = 160, **kwargs: Any) -> WideResNet:
    """WRN-28-10."""
    return _build("wrn28_10", pretrained, depth=28, width=width, **kwargs)


@register
def se_wrn16_8(pretrained: bool = False, *, width: int = 128, **kwargs: Any) -> WideResNet:
    """WRN-16-8 with squeeze-and-excitation (to a 16th of the channels, at least 8) in each residual path."""
    return _build("se_wrn16_8", pretrained, depth=16, width=width, attention=SEModule, **kwargs)
