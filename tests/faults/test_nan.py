"""A loss that is not finite stops the training before the step; the last good state stays."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ssal.data import ArraySet, Augmentation, Preprocess, eval_loader, train_loader
from ssal.errors import DataError
from ssal.grouping import Grouping
from ssal.model import Branch, GroupedNetwork, SSALModel
from ssal.training import JointLoss, SaveEvery, Step, TrainingPlan, find_checkpoint, fit

from .bench import digest
from .networks import tiny

PARTS = {0: "the main classifier", 1: "the branch at '2'", 2: "the branch at '4'"}
BATCHES = 6


def model() -> SSALModel:
    torch.manual_seed(0)
    branches = [
        Branch("2", Grouping.from_labels([0, 0, 1, 1]), layout="cbr 4 | gap"),
        Branch("4", Grouping.identity(4), layout="cbr 4 | gap"),
    ]
    return SSALModel(tiny(4), branches, (3, 8, 8))


class Poisoned:
    """The joint loss; in one batch, one image's logit of one part is not finite."""

    def __init__(self, batch: int, part: int, value: float) -> None:
        self.left, self.part, self.value = batch, part, value

    def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
        self.left -= 1
        if self.left:
            return JointLoss()(model, images, targets)

        def poisoned(images: Tensor) -> object:
            outputs = model(images)
            parts = [outputs.main, *outputs.groups]
            spoil = torch.zeros_like(parts[self.part])
            spoil[3, 1] = self.value
            parts[self.part] = parts[self.part] + spoil
            return type(outputs)(parts[0], tuple(parts[1:]))

        class Wrapper:
            specs, labels = model.specs, model.labels
            __call__ = staticmethod(poisoned)

        return JointLoss()(Wrapper(), images, targets)  # type: ignore[arg-type]


def train(folder: Path, objective: Callable[..., Step] | None = None) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (48, 8, 8, 3), generator=generator, dtype=torch.uint8).numpy()
    images = ArraySet(pixels, [index % 4 for index in range(48)], list("abcd"))
    preprocess = Preprocess(3, (8, 8), (0.5,) * 3, (0.25,) * 3)
    found = find_checkpoint(folder)
    fitted = fit(
        model(),
        partial(train_loader, images, preprocess, Augmentation(shift=1), batch_size=8, seed=1),
        partial(eval_loader, images, preprocess, batch_size=24),
        TrainingPlan(epochs=2),
        checkpoints=folder,
        save_every=SaveEvery(steps=2),
        resume_from=None if found is None else found.path,
        objectives=[objective or JointLoss()],
    )
    return fitted.model.state_dict()


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    return train(tmp_path_factory.mktemp("through"))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("value", "batch"), [(float("nan"), 4), (float("inf"), 9)])
def test_not_finite(through: dict[str, Tensor], tmp_path: Path, part: int, value: float, batch: int) -> None:
    epoch, number = divmod(batch - 1, BATCHES)
    where = f"in batch {number + 1} of epoch {epoch + 1}, at samples"
    with pytest.raises(DataError, match=f"the loss of {PARTS[part]} is nan {where}"):
        train(tmp_path, Poisoned(batch, part, value))
    found = find_checkpoint(tmp_path)
    assert found is not None
    # The last state before that batch, since every second one is kept.
    assert found.epoch * BATCHES + found.batch == (batch - 1) // 2 * 2
    kept = digest(found.path)
    weights = train(tmp_path)
    assert kept != digest(found.path)
    assert all(torch.equal(weights[name], value) for name, value in through.items())
