"""FLOPs of networks with the default branches by those without."""

import material
from harness import Ratio, arguments

from ssal import SSALModel
from ssal.backbones import create_backbone
from ssal.cost import count_flops

_CASES = (
    ("resnet18_cifar", 16, (3, 32, 32)),
    ("resnet18_cifar_pool", 16, (3, 32, 32)),
    ("resnet18_cifar", 64, (3, 32, 32)),
    ("resnet18_cifar", 16, (1, 28, 28)),
    ("resnet50_cifar", 64, (3, 32, 32)),
    ("wrn28_10", None, (3, 32, 32)),
    ("densenet_bc100_12", None, (3, 32, 32)),
    ("resnet50", None, (3, 224, 224)),
    ("convnext_tiny", None, (3, 224, 224)),
    ("vit_small_patch16_224", None, (3, 224, 224)),
)


def main() -> None:
    arguments(1)
    for name, width, shape in _CASES:
        backbone = create_backbone(name, 100, in_chans=shape[0], input_size=shape[1:], width=width)
        plain = count_flops(backbone, shape)
        branches = material.default_branches(backbone, 100, shape)
        joint = count_flops(SSALModel(backbone, branches, shape), shape)
        settings = {
            "network": name,
            "width": width,
            "input": list(shape),
            "taps": [branch.tap for branch in branches if not branch.summed],
        }
        sides = {"with": float(joint), "without": float(plain)}
        shown = name if width is None else f"{name} of width {width}"
        title = f"FLOPs with light branches: {shown}, {shape[1]}×{shape[2]}"
        Ratio(title, joint / plain, 1.10, "at most", sides, settings).print()


if __name__ == "__main__":
    main()
