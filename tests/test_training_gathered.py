"""Groups that are gathered during the training, against a plain computation."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from torch import Tensor, nn

from ssal.config import make_settings
from ssal.confusion import soft_confusion
from ssal.errors import InputError
from ssal.grouping import Grouping, group_classes
from ssal.joint import ssal_loss
from ssal.model import Branch, SSALModel
from ssal.run.prepare import prepare
from ssal.training import GatheredGroups, JointLoss, fit

CLASSES, START, MEMORY = 4, 3, 2.0


def network() -> SSALModel:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES))
    return SSALModel(backbone, [Branch("1", Grouping.random(CLASSES, 2), layout="dense 8")], (6,))


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 6, generator=random), torch.arange(8) % CLASSES if number else torch.zeros(8).long())
        for number in range(count)
    ]


def gathered(seen: list[NDArray[np.float64]]) -> GatheredGroups:
    def derive(confusion: NDArray[np.float64]) -> tuple[Grouping, ...]:
        seen.append(confusion)
        return (Grouping.from_labels([1, 0, 0, 1]),)

    return GatheredGroups(derive, CLASSES, START, MEMORY)


def test_groups_come_from_the_fading_sums_of_the_first_batches_once() -> None:
    model, seen = network(), list[NDArray[np.float64]]()
    objective = gathered(seen)
    expected = np.zeros((CLASSES, CLASSES))
    for number, (images, targets) in enumerate(batches(START + 2)):
        before = model.labels[0].tolist()
        step = objective(model, images, targets)
        if number < START:
            sums = np.zeros((CLASSES, CLASSES))
            probabilities = step.outputs.main.detach().softmax(dim=1)
            for probability, target in zip(probabilities.numpy(), targets, strict=True):
                sums[target] += probability
            expected = math.exp(-1 / MEMORY) * expected + sums
            assert model.labels[0].tolist() == before and not seen
    assert len(seen) == 1
    np.testing.assert_allclose(seen[0], expected, rtol=1e-5)
    assert model.labels[0].tolist() == model.specs[0].grouping.labels.tolist() == [1, 0, 0, 1]


def test_branches_wait_until_then() -> None:
    model = network()
    objective = gathered([])
    weight = model.branches[0].head.weight
    for number, (images, targets) in enumerate(batches(START + 1)):
        step = objective(model, images, targets)
        weights = [0.0 if number < START else 0.5]
        assert step.loss.equal(ssal_loss(step.outputs, targets, model.labels, weights))
        model.zero_grad()
        step.loss.backward()
        assert weight.grad is not None, "each part reaches the loss in every step"
        assert bool(weight.grad.any()) == (number == START)


def test_a_branch_that_needs_no_groups_does_not_wait() -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES))
    classes, pairs = Grouping.identity(CLASSES), Grouping.from_labels([0, 0, 1, 1])
    model = SSALModel(backbone, [Branch("1", each, layout="dense 8") for each in (classes, pairs)], (6,))
    other = Grouping.from_labels([0, 1, 1, 0])
    objective = GatheredGroups(lambda _: (classes, other), CLASSES, START, MEMORY, waiting=(False, True))
    for number, (images, targets) in enumerate(batches(START + 1)):
        step = objective(model, images, targets)
        weights = [0.5, 0.0 if number < START else 0.5]
        assert step.loss.equal(ssal_loss(step.outputs, targets, model.labels, weights))
    assert model.specs[1].grouping == other


def test_hard_confusion_counts_what_is_predicted() -> None:
    model = network()
    objective = GatheredGroups(lambda _: (), CLASSES, start=9, memory=1e9, hard=True)
    [(images, targets)] = batches(2)[1:]
    predicted = objective(model, images, targets).outputs.main.argmax(dim=1)
    expected = confusion_matrix(targets, predicted, labels=range(CLASSES))
    np.testing.assert_array_equal(objective.confusion(), expected)


def test_averaged_weights_follow_to_the_new_groups() -> None:
    job = prepare(make_settings(SETTINGS, {"precision": "32", "lr": 0.05, "ema": 0.9}))
    objective = job.objective()
    model = job.make_model(job.blank_groupings())
    average = fit(
        model, job.train_loader(), job.eval_loader(job.heldout), job.plan(), objectives=[objective]
    ).model
    assert average is not model and isinstance(objective, GatheredGroups)
    found = [spec.grouping for spec in average.specs]
    assert found == [spec.grouping for spec in model.specs] == list(job.groupings(objective.confusion()))
    assert [labels.tolist() for labels in average.labels] == [each.labels.tolist() for each in found]


def test_a_restored_model_has_the_groups_again() -> None:
    first, second = gathered([]), gathered([])
    model, again = network(), network()
    for images, targets in batches(START):
        first(model, images, targets)
    second.load_state_dict(first.state_dict())
    second.restore(again)
    assert again.labels[0].equal(network().labels[0]), "they have not begun"
    first(model, *batches(1)[0])
    second.load_state_dict(first.state_dict())
    second.restore(again)
    assert again.labels[0].tolist() == [1, 0, 0, 1]


def test_branches_that_have_begun_go_on_however_late_the_start_is_now() -> None:
    first, later = gathered([]), gathered([])
    model, again = network(), network()
    for images, targets in batches(START + 1):
        first(model, images, targets)
    later.start = 2 * START
    later.load_state_dict(first.state_dict())
    later.restore(again)
    again.load_state_dict(model.state_dict())
    images, targets = batches(1)[0]
    assert later(again, images, targets).loss.equal(first(model, images, targets).loss)
    assert later.sums.equal(first.sums)


def test_other_numbers_of_groups_do_not_fit_the_branches() -> None:
    model = network()
    for groupings in ([Grouping.from_labels([0, 1, 2, 0])], [], [Grouping.from_labels([0, 1, 1])]):
        with pytest.raises(InputError):
            model.regroup(groupings)


SETTINGS = {
    "data": "digits",
    "model": "resnet18_cifar",
    "width": 4,
    "epochs": 2,
    "groups": [2, "all"],
    "groups_from": "training",
}


def test_one_training_finds_its_own_groups() -> None:
    asked = {"precision": "32", "lr": 0.05, "taps": ["layer1", "layer2"], "gathering": {"start": 0.5}}
    job = prepare(make_settings(SETTINGS, asked))
    objective = job.objective()
    model = job.make_model(job.blank_groupings())
    loaders = (job.train_loader(), job.eval_loader(job.heldout))
    fit(model, *loaders, job.plan(), objectives=[objective])
    found, classes = (spec.grouping for spec in model.specs)
    assert classes == Grouping.identity(10, job.data.class_names)
    assert isinstance(objective, GatheredGroups) and int(objective.batches) == 2 * objective.start
    assert found == group_classes(objective.confusion(), 2, class_names=job.data.class_names)


@pytest.mark.parametrize(
    "settings", [{"groups": ["all", "all"]}, {"method": "random"}, {"groups_from": "baseline"}]
)
def test_nothing_is_gathered_where_no_group_depends_on_it(settings: dict[str, Any]) -> None:
    assert isinstance(prepare(make_settings(SETTINGS, settings)).objective(), JointLoss)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gathering": {"start": 1.0}}, "gathering.start: input should be less than 1"),
        ({"gathering": {"memory": 0}}, "gathering.memory: input should be greater than 0"),
        ({"groups_from": "both"}, "groups_from: input should be 'baseline' or 'training'"),
        ({"groups_from": "baseline", "baseline": False}, "baseline: groups from the baseline need one"),
        ({"baseline_epochs": 3, "baseline": False}, "baseline_epochs: there is no baseline to train"),
        (
            {"groups_from": "baseline", "baseline_epochs": "same-time"},
            "baseline_epochs: groups from the baseline take its own time too",
        ),
    ],
)
def test_what_it_cannot_do(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(make_settings(SETTINGS, settings))


def test_the_confusion_is_soft() -> None:
    """Without fading, and rows normalised, the sums are the soft confusion of the same samples."""
    model = network()
    objective = GatheredGroups(lambda confusion: (), CLASSES, start=9, memory=1e9)
    [(images, targets)] = batches(2)[1:]
    outputs = objective(model, images, targets).outputs
    expected = soft_confusion(outputs.main.detach().softmax(dim=1), targets, CLASSES)
    sums = objective.sums.double().numpy()
    np.testing.assert_allclose(sums / sums.sum(axis=1, keepdims=True), expected, rtol=1e-5)
