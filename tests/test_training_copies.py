"""A training step copies no activations: they are channels-last from the loader to the last layer."""

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from ssal import Branch, Grouping, SSALModel
from ssal.backbones import create_backbone
from ssal.data import ArraySet, Augmentation, Preprocess, train_loader
from ssal.training import JointLoss
from ssal.training.memoryformat import safe_channels_last

# No layer has as many channels: the first size of a tensor tells activations from weights.
BATCH = 7
COPIES = ("aten::copy_", "aten::clone", "aten::_reshape_copy")


def copied(model: SSALModel, images: torch.Tensor, targets: torch.Tensor) -> list[list[int]]:
    """Shapes of the activations that forward and backward pass copy."""
    objective = JointLoss()

    def step() -> None:
        objective(model, images, targets).loss.backward()

    with safe_channels_last(model):
        step()
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
            step()
    events = profiler.events() or []
    assert any("convolution_backward" in event.name for event in events), "the profiler saw no training step"
    shapes = [event.input_shapes[0] for event in events if event.name in COPIES and event.input_shapes]
    return [shape for shape in shapes if len(shape) == 4 and shape[0] == BATCH]


def network(name: str, layout: str) -> SSALModel:
    torch.manual_seed(0)
    backbone = create_backbone(name, 10, width=16 if name == "resnet18_cifar" else None)
    branches = [Branch(tap, Grouping.random(10, 4, seed=0), layout) for tap in ("layer1", "layer2")]
    return SSALModel(backbone, branches).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["resnet18_cifar", "wrn16_2"])
@pytest.mark.parametrize("layout", ["light", "cbr 32,3,2 | inception 32 | gap"])
def test_no_activation_is_copied(name: str, layout: str) -> None:
    random = np.random.default_rng(0)
    data = ArraySet(
        random.integers(0, 256, (BATCH, 32, 32, 3), np.uint8), np.arange(BATCH), list("abcdefghij")
    )
    preprocess = Preprocess(3, (32, 32), (0.5,) * 3, (0.25,) * 3)
    (batch,) = train_loader(data, preprocess, Augmentation(shift=2, flip=True), batch_size=BATCH, seed=0)
    model = network(name, layout)
    assert copied(model, batch.images, batch.targets) == []
    # The profiler shows a copy where there is one.
    assert [BATCH, 3, 32, 32] in copied(model, batch.images.contiguous(), batch.targets)
