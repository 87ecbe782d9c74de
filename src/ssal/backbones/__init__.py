"""CIFAR-size networks, registered with timm, and one way to build any backbone by its name.

Importing this package makes the names known to `timm.create_model`. Every network takes images of 28x28,
32x32 or 64x64 pixels (and others: nothing in it depends on the size), any number of classes and of input
channels, and a `width`, which is the number of channels of its first stage:

| network | default | stages |
|---|---|---|
| the ResNets | 64 | w, 2w, 4w, 8w; a bottleneck puts out four times that |
| `wide_resnet18_cifar` | 96 | the same: half as wide again as `resnet18_cifar` of width 64 |
| `wrn16_2`, `wrn28_10`, `se_wrn16_8` | 32, 160, 128 | w, 2w, 4w; w is 16 times the widening factor |
| `densenet_bc100_12`, `densenet_bc190_40` | 12, 40 | the growth rate: each layer adds w channels |
"""

from . import densenet, resnet, wrn
from .create import backbone_maker, create_backbone, list_backbones, named_arguments
from .published import PublishedInput, published_input

__all__ = [
    "PublishedInput",
    "backbone_maker",
    "create_backbone",
    "densenet",
    "list_backbones",
    "named_arguments",
    "published_input",
    "resnet",
    "wrn",
]
