"""The paper's networks with branches, as data: taps, layouts, groups, λ, η, settings, parameter counts.

What the text and the authors' code say is taken from there. Where both are silent, the parameter counts of
the tables were used to choose, and what they cannot settle is marked *open*:

* ResNet-18, Table 1: `cbr 128,5,2 | cbr 128 | inception | gap` on both taps gives 11.91M and 12.83M of the
  published 11.92M and 12.83M; with a 3×3 convolution first on the second tap it would be 12.56M.
* ResNet-50 with one branch: the first of the three (25.06M of 25.07M); the third would give 25.44M.
* WRN-28-10 with one branch: the third of the three (38.18M of 38.19M).
* SE-WRN-16-8: *open*. No layout is given, and many combinations give 14.9M. Here it has the branches of
  ResNet-50 at the ends of its stages, which gives 14.39M, and the training settings of WRN-28-10.
* ResNet-18 on Tiny-ImageNet: `cbr | cbr | inception | gap` at the ends of the stages 1, 2 and 3 gives 15.48M
  of 15.6M, and at the end of stage 2 alone 12.63M of 12.6M. The text has g_2 "after the first residual block"
  in Table 2 and after the second in Table 1; the count decides for the second. The numbers of groups are
  *open*: here they are C/5, C/3 and C/2, as for the other data.
* Loss weights λ and training settings of ResNet-18 on CIFAR-100: *open*; the library's own are used.
* Three branches predict "20, 30 and 50" groups in §4.2 and 20, 33, 50 in §4.4; here always the latter.
* ImageNet: *open* how many blocks of each kind, and how many filters the extra convolution has; here one
  block each, and 256 filters. The learning rate's schedule is *open* too.
* Figures 3 and 4: *open* which seven positions of WRN-28-10 and DenseNet-BC-100-12, and which layout. Here
  they are spread evenly: before the first stage, in the middle and at the end of each. Inside a dense block
  no layer delivers all features so far as they are; its place is taken by the norm that the ninth layer
  starts with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ssal.branches import scale_layout


@dataclass(frozen=True)
class PublishedBranch:
    """One branch of the paper: where it reads, how it is built, how many groups it predicts.

    Attributes:
        tap: dotted name of the layer.
        layout: layout text for the network at its own width.
        groups: k.
        weight: λ; None where the paper does not say.
    """

    tap: str
    layout: str
    groups: int
    weight: float | None = None


@dataclass(frozen=True)
class Published:
    """One network of the paper with its branches.

    Attributes:
        model: name of the backbone.
        width: channels of its first stage, None where it takes no width.
        num_classes: C of the data.
        branches: the branches.
        exponent: η of all branches.
        millions: parameters as published, running statistics of the norms included; None where not given.
        training: settings of the training, as keys of `ssal.config.Settings`.
    """

    model: str
    width: int | None
    num_classes: int
    branches: tuple[PublishedBranch, ...]
    exponent: float = 1.0
    millions: float | None = None
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def settings(self, width: int | None = None) -> dict[str, Any]:
        """Settings of `ssal train` for this network, without data; the layouts follow another `width`.

        >>> PUBLISHED["resnet18-1"].settings(width=16)["layout"]
        ['cbr 32,5,2 | cbr 32,3,1 | inception 25 | gap']
        """
        factor = 1.0 if width is None or self.width is None else width / self.width
        weights = [branch.weight for branch in self.branches if branch.weight is not None]
        branch: dict[str, Any] = {"exponents": [self.exponent]} | ({"weights": weights} if weights else {})
        return {
            "model": self.model,
            "width": width,
            "taps": [branch.tap for branch in self.branches],
            "layout": [scale_layout(branch.layout, factor) for branch in self.branches],
            "groups": [branch.groups for branch in self.branches],
            "criterion": "join",
            "branch": branch,
            **self.training,
        }


_SHORT = "cbr 128,5 | cbr 128 | inception | gap"
_REDUCED = "cbr 128,5,2 | cbr 128 | inception | gap"
_PLAIN = "cbr 128 | cbr 128 | inception | gap"
_TINY = "cbr | cbr | inception | gap"
_WIDE = (
    "cbr 128,5,2 | cbr 128 | cbr | cbr | inception | inception | gap",
    "cbr 128,5 | cbr 128 | cbr | cbr | gap | dense",
    "cbr 128 | cbr 128 | inception | inception | gap",
)
_LARGE = "inception_c 50 | inception_d 50 | inception_e 50 | gap"

_CIFAR_IMAGES = {"augment": {"shift": 5, "flip": True}}
_RESNET50: dict[str, Any] = {
    "epochs": 80,
    "lr": 0.092,
    "batch_size": 64,
    "schedule": {"peak": 10 / 80},
    "optimizer": {"momentum": 0.93, "nesterov": False, "weight_decay": 1e-4},
    **_CIFAR_IMAGES,
}
_WRN: dict[str, Any] = {
    "epochs": 80,
    "lr": 0.021,
    "batch_size": 64,
    "schedule": {"peak": 10 / 80},
    "optimizer": {
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 7e-4,
        "branch_weight_decay": 3e-4,
    },
    **_CIFAR_IMAGES,
}
_DENSENET: dict[str, Any] = {
    "epochs": 100,
    "lr": 0.08,
    "batch_size": 32,
    "label_smoothing": 0.1,
    "schedule": {"peak": 10 / 100},
    "optimizer": {
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 3e-4,
        "branch_weight_decay": 1e-4,
    },
    **_CIFAR_IMAGES,
}
_TINY_IMAGENET: dict[str, Any] = {"epochs": 20, "schedule": {"peak": 8 / 20}}
_IMAGENET: dict[str, Any] = {
    "epochs": 90,
    "lr": 0.1 * 100 / 256,
    "batch_size": 100,
    "optimizer": {"momentum": 0.9, "nesterov": False, "weight_decay": 1e-4},
}

# Peak learning rates of the networks without branches, where the authors' code has another one for them.
BASELINE_LR: Mapping[str, float] = MappingProxyType({"resnet50_cifar": 0.088, "wrn28_10": 0.016})


def _branches(
    taps: tuple[str, ...],
    layouts: tuple[str, ...],
    groups: tuple[int, ...],
    weights: tuple[float | None, ...],
) -> tuple[PublishedBranch, ...]:
    return tuple(PublishedBranch(*parts) for parts in zip(taps, layouts, groups, weights, strict=True))


_STAGES = ("layer1", "layer2", "layer3")
_DENSE = ("features.denseblock1", "features.transition1", "features.transition2")
_GROUPS = (20, 33, 50)
_OPEN = (None, None, None)
_RESNET50_BRANCHES = _branches(_STAGES, (_REDUCED, _SHORT, _PLAIN), _GROUPS, (0.42, 0.59, 0.76))
_WRN_BRANCHES = _branches(("layer1.1", "layer2.1", "layer2"), _WIDE, _GROUPS, (0.8, 0.9, 1.0))
_DENSE_BRANCHES = _branches(_DENSE, _WIDE, _GROUPS, (0.8, 0.9, 1.0))
_TINY_BRANCHES = _branches(_STAGES, (_TINY,) * 3, (40, 67, 100), _OPEN)
_LARGE_BRANCHES = _branches(
    _STAGES, (f"cbr 256,3,2 | {_LARGE}", _LARGE, _LARGE), (200, 334, 500), (1.0, 1.0, 1.0)
)
_RESNET18_BRANCHES = _branches(("layer1", "layer2"), (_REDUCED,) * 2, (20, 50), _OPEN[:2])

PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "resnet18-early": Published(
            "resnet18_cifar_pool",
            64,
            100,
            (PublishedBranch("maxpool", "cbr | cbr | cbr | cbr | gap | dense | dense", 20),),
            training=_CIFAR_IMAGES,
        ),
        "resnet18-1": Published("resnet18_cifar", 64, 100, _RESNET18_BRANCHES[:1], 1.0, 11.92, _CIFAR_IMAGES),
        "resnet18-2": Published("resnet18_cifar", 64, 100, _RESNET18_BRANCHES, 1.0, 12.83, _CIFAR_IMAGES),
        "resnet50-1": Published("resnet50_cifar", 64, 100, _RESNET50_BRANCHES[:1], 1.0, 25.07, _RESNET50),
        "resnet50-3": Published("resnet50_cifar", 64, 100, _RESNET50_BRANCHES, 0.3, 28.89, _RESNET50),
        "wrn28_10-1": Published("wrn28_10", 160, 100, _WRN_BRANCHES[2:], 1.0, 38.19, _WRN),
        "wrn28_10-3": Published("wrn28_10", 160, 100, _WRN_BRANCHES, 0.4, 43.25, _WRN),
        "se_wrn16_8-3": Published("se_wrn16_8", 128, 100, _RESNET50_BRANCHES, 0.4, 14.9, _WRN),
        "densenet_bc190_40-3": Published("densenet_bc190_40", 40, 100, _DENSE_BRANCHES, 0.5, 38.3, _DENSENET),
        "tiny-resnet18-1": Published(
            "resnet18_cifar", 64, 200, _TINY_BRANCHES[1:2], 1.0, 12.6, _TINY_IMAGENET
        ),
        "tiny-resnet18-3": Published("resnet18_cifar", 64, 200, _TINY_BRANCHES, 1.0, 15.6, _TINY_IMAGENET),
        "imagenet-resnet50-3": Published("resnet50", None, 1000, _LARGE_BRANCHES, 0.3, None, _IMAGENET),
    }
)

# Figures 3 and 4: one branch for 20 groups, at each of these layers in turn.
POSITION_LAYOUT = _REDUCED
POSITIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "resnet50_cifar": ("layer1", "layer2", "layer3", "layer4"),
        "wrn28_10": ("conv1", "layer1.1", "layer1", "layer2.1", "layer2", "layer3.1", "layer3"),
        "densenet_bc100_12": (
            "features.conv0",
            "features.denseblock1.denselayer9.norm1",
            "features.transition1",
            "features.denseblock2.denselayer9.norm1",
            "features.transition2",
            "features.denseblock3.denselayer9.norm1",
            "features.denseblock3",
        ),
    }
)

# Side branches that copy the stages still to come, at the ends of the stages 1, 2 and 3 of ResNet-18.
STAGE_COPIES = (
    "res 128,2,2 | res 256,2,2 | res 512,2,2 | gap",
    "res 256,2,2 | res 512,2,2 | gap",
    "res 512,2,2 | gap",
)
