"""The losses of the rivals beside small cases worked out by hand with numpy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ssal.errors import InputError
from ssal.experiments.rivals import (
    AuxiliaryLoss,
    AuxiliaryNetwork,
    CoarseConsistency,
    ComplementEntropy,
    Corruption,
    MimickingLoss,
    complement_entropy,
    mimicry,
)
from ssal.experiments.rivals.auxiliary import frozen_statistics
from ssal.experiments.rivals.corruption import blur, recolour, rotate
from ssal.experiments.rivals.hydra import gate_weights
from ssal.grouping import Grouping
from ssal.joint import Outputs
from ssal.model import Branch, GroupedNetwork
from ssal.training import JointLoss


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


class Fixed(GroupedNetwork):
    """A network whose outputs are parameters."""

    def __init__(self, groupings: list[Grouping], *logits: np.ndarray) -> None:
        specs = [Branch("x", grouping) for grouping in groupings]
        super().__init__(specs, logits[0].shape[1], (1,))
        self.logits = nn.ParameterList(torch.tensor(values) for values in logits)

    def forward(self, images: Tensor) -> Outputs:
        main, *groups = self.logits
        return Outputs(main, tuple(groups))


LOGITS = np.array([[0.3, -1.2, 2.0, 0.1], [1.5, 0.2, -0.4, 0.9], [0.0, 0.0, 3.0, -2.0]])
OTHERS = np.array([[1.0, 0.4, -0.3, 0.2], [-0.1, 2.2, 0.3, 0.0], [0.5, -0.7, 1.1, 0.6]])
TARGET = torch.tensor([2, 0, 3])


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> float:
    return float(-np.log(softmax(logits)[np.arange(len(target)), target]).mean())


def test_complement_entropy_by_hand() -> None:
    probabilities, total = softmax(LOGITS), 0.0
    for row, true in zip(probabilities, TARGET.tolist(), strict=True):
        for j in range(4):
            if j != true:
                share = row[j] / (1 - row[true])
                total -= share * math.log(share)
    value = complement_entropy(torch.tensor(LOGITS), TARGET)
    assert float(value) == pytest.approx(total / 3 / (4 - 1), rel=1e-6)


def test_even_wrong_classes_have_the_largest_complement_entropy() -> None:
    logits = torch.tensor([[5.0, 1.0, 1.0, 1.0, 1.0]])
    assert float(complement_entropy(logits, torch.tensor([0]))) == pytest.approx(math.log(4) / 4)


def test_complement_entropy_survives_certainty() -> None:
    logits = torch.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    complement_entropy(logits, torch.tensor([0])).backward()
    assert bool(torch.isfinite(logits.grad).all())
    assert float(complement_entropy(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))) == 0


def test_the_second_objective_of_cot_raises_the_complement_entropy() -> None:
    network = Fixed([], LOGITS)
    step = ComplementEntropy()(network, torch.zeros(3, 1), TARGET)
    step.loss.backward()
    with torch.no_grad():
        main = network.logits[0]
        assert float(step.loss.detach()) == pytest.approx(-float(complement_entropy(main, TARGET)))
        # The true class has no part in it.
        assert float(main.grad.gather(1, TARGET[:, None]).abs().max()) == 0
        better = complement_entropy(main - 0.1 * main.grad, TARGET)
        assert float(better) > -float(step.loss.detach())


def kl(first: np.ndarray, second: np.ndarray) -> float:
    return float((first * np.log(first / second)).sum(axis=1).mean())


def test_mimicry_by_hand() -> None:
    heads = [LOGITS, OTHERS, LOGITS[:, ::-1].copy()]
    for temperature in (1.0, 3.0):
        soft = [softmax(head / temperature) for head in heads]
        expected = sum(kl(soft[t], soft[s]) for t in range(3) for s in range(3) if t != s)
        value = mimicry([torch.tensor(head) for head in heads], temperature)
        assert float(value) == pytest.approx(temperature**2 * expected, rel=1e-5)


def test_teachers_are_not_trained() -> None:
    """The gradient at head s is that of the terms in which s mimics: p_s − p_t for each teacher t."""
    heads = [torch.tensor(values, requires_grad=True) for values in (LOGITS, OTHERS)]
    mimicry(heads).backward()
    expected = (softmax(LOGITS) - softmax(OTHERS)) / 3
    np.testing.assert_allclose(heads[0].grad.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(heads[1].grad.numpy(), -expected, atol=1e-6)


def test_mimicking_loss_by_hand() -> None:
    network = Fixed([Grouping.identity(4)], LOGITS, OTHERS)
    loss = MimickingLoss(weight=0.7, temperature=2.0)(network, torch.zeros(3, 1), TARGET).loss
    soft = [softmax(head / 2) for head in (LOGITS, OTHERS)]
    expected = cross_entropy(LOGITS, TARGET.numpy()) + cross_entropy(OTHERS, TARGET.numpy())
    expected += 0.7 * 4 * (kl(soft[0], soft[1]) + kl(soft[1], soft[0]))
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)


def test_coarse_consistency_by_hand() -> None:
    grouping = Grouping.from_labels([0, 1, 1, 1])
    coarse = np.log(np.array([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]]))
    network = Fixed([grouping], LOGITS, coarse)
    loss = CoarseConsistency(JointLoss(), weight=20.0)(network, torch.zeros(3, 1), TARGET).loss
    plain = JointLoss()(network, torch.zeros(3, 1), TARGET).loss
    shares, mean = np.array([0.25, 0.75]), np.array([0.5, 0.5])
    assert float(loss.detach()) - float(plain.detach()) == pytest.approx(
        10 * ((shares - mean) ** 2).sum(), rel=1e-5
    )


@given(st.integers(1, 5), st.integers(0, 100))
def test_gate_weights_sum_to_one_over_the_picked(picked: int, seed: int) -> None:
    scores = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed))
    weights = gate_weights(scores, picked).numpy()
    for row, result in zip(scores.numpy(), weights, strict=True):
        order = np.argsort(-row)[:picked]
        expected = np.zeros(5)
        expected[order] = np.exp(row[order]) / np.exp(row[order]).sum()
        np.testing.assert_allclose(result, expected, atol=1e-6)


# Auxiliary training.


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


def auxiliary_loss(start: int = 0, **weights: float) -> AuxiliaryLoss:
    corruption = Corruption((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return AuxiliaryLoss(corruption, attraction_start=start, **weights)


def batch() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.randn(3, 3, 8, 8, generator=random), TARGET


@pytest.mark.parametrize("start", [0, 1])
def test_auxiliary_loss_by_hand(start: int) -> None:
    network, (images, target) = AuxiliaryNetwork(small_network(), (3, 8, 8)).train(), batch()
    weights = {"label_weight": 0.3, "distillation_weight": 0.2, "attraction_weight": 0.1}
    torch.manual_seed(4)
    loss = auxiliary_loss(start, **weights)(network, images, target).loss
    torch.manual_seed(4)
    copies = Corruption((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))(images)
    main = network(images).main.detach().double().numpy()
    expected = cross_entropy(main, target.numpy())
    for logits in network.auxiliary(copies):
        values = logits.detach().double().numpy()
        expected += 0.3 * cross_entropy(values, target.numpy())
        expected += 0.2 * float(-(softmax(main) * np.log(softmax(values))).sum(axis=1).mean())
    if start == 0:
        head = network.main_head
        for branch in network.branches:
            for name in ("weight", "bias"):
                difference = getattr(branch.head, name) - getattr(head, name)
                expected += 0.1 * float(difference.detach().square().sum())
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert int(network.steps) == 1


def test_only_clean_images_enter_the_running_statistics() -> None:
    network, (images, target) = AuxiliaryNetwork(small_network(), (3, 8, 8)).train(), batch()
    alone = small_network().train()
    norms = network.trunk.backbone[1], alone[1]
    auxiliary_loss()(network, images, target)
    alone(images)
    assert torch.equal(norms[0].running_mean, norms[1].running_mean)
    assert torch.equal(norms[0].running_var, norms[1].running_var)
    assert float(network.branches[0].attention[0][1].running_mean.abs().sum()) > 0


def test_frozen_statistics_come_back_after_an_error() -> None:
    network = small_network()
    with pytest.raises(ZeroDivisionError), frozen_statistics(network):
        assert not network[1].track_running_stats
        raise ZeroDivisionError
    assert network[1].track_running_stats


def test_distillation_does_not_train_the_main_classifier() -> None:
    network, (images, target) = AuxiliaryNetwork(small_network(), (3, 8, 8)).train(), batch()
    auxiliary_loss(9, label_weight=0.0, distillation_weight=1.0)(network, images, target).loss.backward()
    alone = AuxiliaryNetwork(small_network(), (3, 8, 8)).train()
    JointLoss()(alone, images, target).loss.backward()
    torch.testing.assert_close(network.main_head.weight.grad, alone.main_head.weight.grad)


def test_auxiliary_loss_needs_its_network() -> None:
    with pytest.raises(InputError, match="needs an AuxiliaryNetwork, not Fixed"):
        auxiliary_loss()(Fixed([], LOGITS), torch.zeros(3, 3, 8, 8), TARGET)


# Corruptions.


def test_corruption_makes_four_kinds_and_trains_nothing() -> None:
    corruption = Corruption((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    images = torch.rand(5, 3, 12, 9).requires_grad_()
    copies = corruption(images)
    assert [copy.shape for copy in copies] == [images.shape] * 4
    assert not any(copy.requires_grad for copy in copies)
    for copy in copies:
        assert float((copy - images.detach()).abs().mean()) > 0.01
    with torch.autocast("cpu", torch.bfloat16):
        assert [copy.dtype for copy in corruption(images)] == [torch.float32] * 4


def test_no_corruption_is_the_identity() -> None:
    images = torch.rand(3, 3, 7, 10)
    torch.testing.assert_close(blur(images, 0.05), images)
    torch.testing.assert_close(recolour(images, 0.0), images)
    torch.testing.assert_close(rotate(images, 0.0), images, atol=1e-5, rtol=1e-5)


def test_blur_is_scipys() -> None:
    from scipy.ndimage import correlate1d

    image = np.random.default_rng(0).random((9, 7))
    steps = np.exp(-(np.arange(-2, 3) ** 2) / (2 * 0.8**2))
    expected = image
    for axis in (0, 1):
        expected = correlate1d(expected, steps / steps.sum(), axis=axis, mode="nearest")
    result = blur(torch.tensor(image)[None, None].repeat(2, 3, 1, 1), 0.8)
    np.testing.assert_allclose(result[1, 2].numpy(), expected, atol=1e-6)


def test_rotation_keeps_the_shape_of_things() -> None:
    """Round things stay round, also where images are not square; a bar turns by the given angle at most."""
    rows, columns = torch.meshgrid(torch.arange(41) - 20.0, torch.arange(61) - 30.0, indexing="ij")
    blob = torch.exp(-(rows**2 + columns**2) / 60)[None, None].repeat(4, 1, 1, 1)
    torch.testing.assert_close(rotate(blob, 40.0), blob, atol=0.01, rtol=0)
    bar = (rows.abs() < 1).float()[None, None].repeat(50, 1, 1, 1)
    torch.manual_seed(0)
    turned = rotate(bar, 30.0)
    moments = (turned * rows * columns).sum(dim=(1, 2, 3)), (turned * columns**2).sum(dim=(1, 2, 3))
    angles = torch.rad2deg(torch.atan(moments[0] / moments[1]))
    assert 20 < float(angles.abs().max()) < 32
    assert len(set(angles.tolist())) == 50


def test_recolouring_is_drawn_for_each_image() -> None:
    images = torch.rand(1, 3, 6, 6).repeat(5, 1, 1, 1)
    assert len({float(copy.sum()) for copy in recolour(images, 0.5)}) == 5
