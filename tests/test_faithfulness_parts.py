"""The pieces of the checks: orders of pixels, curves, intervals, random weights, likeness."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ssal.backbones  # noqa: F401  (registers the names)
from ssal.backbones import create_backbone
from ssal.evidence.faithfulness import check_explanations, findings
from ssal.evidence.faithfulness.baselines import make_baselines
from ssal.evidence.faithfulness.contestants import Contestant, control_maps
from ssal.evidence.faithfulness.contests import hold_contests
from ssal.evidence.faithfulness.differences import mean_difference, relative_difference, relative_mean
from ssal.evidence.faithfulness.layers import cascade_layers
from ssal.evidence.faithfulness.likeness import rank_correlation, structural_similarity
from ssal.evidence.faithfulness.occlusion import Occlusion, area
from ssal.evidence.faithfulness.orders import (
    centre_map,
    make_generator,
    opposite,
    random_maps,
    random_ties,
    rank_pixels,
)
from ssal.evidence.faithfulness.randomise import randomise_weights
from ssal.evidence.faithfulness.results import Subject
from ssal.evidence.finer import find_sources
from ssal.evidence.maps import gradient_map, gradient_maps
from ssal.grouping import Grouping
from ssal.model import Branch, SSALModel

from .lively import images, small_model
from .quadrant import SIDE, bright_images


def test_ranks_are_those_of_a_plain_sort() -> None:
    generator = make_generator(0)
    values = torch.randint(0, 5, (20, 12), generator=generator).double()
    ties = random_ties(20, 12, generator)
    ranks = rank_pixels(values, ties)
    for row in range(20):
        place = {pixel: position for position, pixel in enumerate(ties[row].tolist())}
        order = sorted(range(12), key=lambda pixel: (-float(values[row, pixel]), place[pixel]))
        assert [order.index(pixel) for pixel in range(12)] == ranks[row].tolist()
    assert torch.equal(rank_pixels(values.view(20, 3, 4), ties), ranks)
    assert torch.equal(opposite(opposite(ranks)), ranks)


def test_the_centre_goes_first() -> None:
    values = centre_map((6, 9))
    assert values.shape == (6, 9)
    assert torch.equal(values, values.flip(0)) and torch.equal(values, values.flip(1))
    assert (values.argmax() in (22, 31)) and values[0, 0] == values.min()


def test_streams_of_random_numbers_do_not_depend_on_each_other() -> None:
    one, two, again = (random_maps(2, (3, 4), make_generator(*seeds)) for seeds in ((0, 1), (1, 0), (0, 1)))
    assert torch.equal(one, again) and not torch.equal(one, two)


def one_by_one(
    model: nn.Module, image: Tensor, baseline: Tensor, ranks: Tensor, steps: int
) -> list[list[float]]:
    """Deletion and insertion curves of one image, written down as they are defined."""
    curves: list[list[float]] = [[], []]
    order = ranks.argsort().tolist()
    for step in range(steps + 1):
        count = int(step * len(order) / steps + 0.5)
        for curve, start, end in ((curves[0], image, baseline), (curves[1], baseline, image)):
            mixed = start.clone()
            for pixel in order[:count]:
                row, column = divmod(pixel, image.shape[2])
                mixed[:, row, column] = end[:, row, column]
            curve.append(float(model(mixed[None]).softmax(dim=1)[0, 1]))
    return curves


@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_curves_and_areas_are_those_of_loops_over_single_images(chunk: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4 * 2, 3)).eval()
    samples, steps = torch.randn(4, 2, 6, 4), 8
    baselines = make_baselines(samples, "blur")
    ranks = rank_pixels(torch.randn(4, 24), random_ties(4, 24, make_generator(1)))
    with torch.no_grad():
        occlusion = Occlusion.prepare(
            lambda x, _: net(x).softmax(dim=1).double(), samples, baselines, steps, chunk
        )
        deletion, insertion = occlusion.delete(ranks), occlusion.insert(ranks)
        assert deletion.shape == insertion.shape == (4, steps + 1, 3)
        for index in range(4):
            expected = one_by_one(net, samples[index], baselines[index], ranks[index], steps)
            for curves, reference in zip((deletion, insertion), expected, strict=True):
                assert curves[index, :, 1].tolist() == pytest.approx(reference, abs=1e-6)
                by_hand = sum((a + b) / 2 / steps for a, b in pairwise(reference))
                assert float(area(curves[index, :, 1])) == pytest.approx(by_hand, abs=1e-6)


def test_the_score_is_told_which_images_it_sees() -> None:
    samples = torch.arange(5.0)[:, None, None, None].expand(5, 1, 2, 2).contiguous()

    def score(mixed: Tensor, numbers: Tensor) -> Tensor:
        assert ((mixed == numbers[:, None, None, None]) | (mixed == -1)).all()
        return numbers[:, None].double()

    occlusion = Occlusion.prepare(score, samples, torch.full_like(samples, -1), 4, chunk=3)
    ranks = torch.arange(4).expand(5, -1)
    expected = torch.arange(5.0).double()[:, None, None].expand(5, 5, 1)
    assert torch.equal(occlusion.delete(ranks), expected)
    assert torch.equal(occlusion.insert(ranks), expected)


def quarter(count: int = 12) -> Occlusion:
    """The score is the brightness of the upper left quarter."""

    def score(mixed: Tensor, _: Tensor) -> Tensor:
        return mixed[:, :, : SIDE // 2, : SIDE // 2].mean(dim=(1, 2, 3))[:, None].double()

    samples = bright_images(count)
    return Occlusion.prepare(score, samples, torch.zeros_like(samples), 16)


def test_a_map_without_knowledge_is_found_to_be_no_better() -> None:
    occlusion = quarter(60)
    own, other = (control_maps(60, (4, 4), (SIDE, SIDE), seed, 0) for seed in (7, 8))
    [check] = hold_contests(
        occlusion, [Contestant(Subject("main", "main"), 0, "cam", (4, 4), own, other, 0)], pairs=2, seed=0
    )
    for difference in (check.deletion.over_random, check.insertion.over_random, check.other.difference):
        assert difference.verdict == "no difference" and difference.low < 0 < difference.high


def test_a_map_of_the_wrong_place_is_found_to_be_worse() -> None:
    occlusion = quarter()
    samples = occlusion.images
    right = torch.zeros(len(samples), SIDE, SIDE, dtype=torch.float64)
    right[:, : SIDE // 2, : SIDE // 2] = 1
    wrong = right.flip(1, 2)
    wrong_first, right_first = hold_contests(
        occlusion,
        [
            Contestant(Subject("branch", tap, number), 0, "cam", (4, 4), own, other, 0)
            for number, (tap, own, other) in enumerate((("a", wrong, right), ("b", right, wrong)), start=1)
        ],
        pairs=2,
        seed=0,
    )
    for verdict, check in (("worse", wrong_first), ("better", right_first)):
        for difference in (
            check.deletion.over_random,
            check.deletion.over_centre,
            check.insertion.over_random,
            check.insertion.over_centre,
            check.other.difference,
        ):
            assert difference.verdict == verdict
    # The score is linear: what random maps leave falls along a straight line, on average.
    assert wrong_first.deletion.random == pytest.approx(wrong_first.score / 2, rel=0.1)
    # Pairs of opposite maps: on average, insertion is deletion backwards.
    assert wrong_first.curves.insertion_random == wrong_first.curves.deletion_random[::-1]


def test_baselines_keep_the_light_or_nothing() -> None:
    samples = torch.rand(2, 3, 12, 20)
    blurred = make_baselines(samples, "blur")
    assert blurred.shape == samples.shape and blurred.dtype == samples.dtype
    assert torch.allclose(blurred.mean(dim=(2, 3)), samples.mean(dim=(2, 3)), atol=0.03)
    assert (blurred.std(dim=(2, 3)) < 0.3 * samples.std(dim=(2, 3))).all()
    assert torch.equal(make_baselines(samples, "mean"), torch.zeros_like(samples))
    # A wider side is blurred more widely; a side of one pixel not at all.
    flat = torch.rand(1, 1, 1, 5)
    assert make_baselines(flat, "blur").shape == (1, 1, 1, 5)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30))
def test_the_interval_holds_the_mean_and_turns_with_the_sign(values: list[float]) -> None:
    found, mirrored = mean_difference(values), mean_difference([-value for value in values])
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-9)


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).normal(0.1, 1, 60)
    found = mean_difference(values)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.02)
    assert found.verdict == "no difference"
    assert (mean_difference(values + 1).verdict, mean_difference(values - 1).verdict) == ("better", "worse")


def test_shares_of_a_stake_are_compared_as_ratios_of_means() -> None:
    rng = np.random.default_rng(2)
    stakes, other_stakes = rng.uniform(0.5, 1, 80), rng.uniform(0.1, 0.5, 80)
    gains, other_gains = 0.3 * stakes + rng.normal(0, 0.05, 80), 0.3 * other_stakes
    assert relative_mean(gains, stakes) == pytest.approx(gains.sum() / stakes.sum())
    # The means differ, the shares do not.
    assert mean_difference(gains - other_gains).verdict == "better"
    found = relative_difference((gains, stakes), (other_gains, other_stakes))
    assert found.verdict == "no difference"
    expected = scipy.stats.bootstrap(
        (gains, stakes, other_gains, other_stakes),
        lambda a, b, c, d: np.sum(a) / np.sum(b) - np.sum(c) / np.sum(d),
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.003)
    # Where nothing is at stake, nothing can be gained.
    assert relative_mean([0.0, 0.0], [0.0, 0.0]) == 0


def test_rank_correlation_is_that_of_scipy() -> None:
    generator = make_generator(3)
    one = torch.randint(0, 6, (10, 4, 5), generator=generator).double()
    two = one + 3 * random_maps(10, (4, 5), generator)
    found = rank_correlation(one, two)
    for row in range(10):
        expected = scipy.stats.spearmanr(one[row].flatten(), two[row].flatten()).statistic
        assert found[row] == pytest.approx(expected)
    assert rank_correlation(one, one) == pytest.approx(1) and rank_correlation(one, -one) == pytest.approx(-1)
    assert rank_correlation(one, torch.ones_like(one)) == pytest.approx(0)


def test_structural_similarity_is_that_of_what_is_shown() -> None:
    one = random_maps(3, (4, 4), make_generator(4))
    for size in ((28, 28), (9, 6), (64, 40)):
        assert structural_similarity(one, 3 * one + 5, size) == pytest.approx(1, abs=1e-5)
        assert (structural_similarity(one, one.flip(0, 1), size) < 0.7).all()
        assert (structural_similarity(one, torch.zeros_like(one), size) < 0.3).all()


def names(model: SSALModel, part: int) -> list[str]:
    plan = cascade_layers(model, torch.zeros(1, *model.input_shape))
    return [layer.name for layers in plan for layer in layers if part in layer.parts]


def test_weights_go_from_the_head_downwards() -> None:
    branches = [
        Branch("layer1", Grouping.random(6, 2), layout="cbr 8 | cbr 8 | gap"),
        Branch("layer3", Grouping.random(6, 3), layout="gap | dense 8"),
    ]
    model = SSALModel(create_backbone("resnet18_cifar", 6, width=4), branches, (3, 16, 16)).eval()
    below = ["bn1", "conv1"]
    assert names(model, 0) == ["fc", "layer4", "layer3", "layer2", "layer1", *below]
    assert names(model, 1) == ["head", "block 2", "block 1", "layer1", *below]
    assert names(model, 2) == ["head", "block 2", "layer3", "layer2", "layer1", *below]


def test_large_pieces_are_opened() -> None:
    def cbr() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())

    body = nn.Sequential(cbr(), cbr(), cbr(), cbr(), cbr())
    net = nn.Sequential(nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(1, 3))
    model = SSALModel(
        net, [Branch("0.0.2.0", Grouping.from_labels([0, 1, 1]), layout="gap")], (1, 6, 6)
    ).eval()
    assert names(model, 0) == ["1", "0.0.4", "0.0.3", "0.0.2", "0.0.1", "0.0.0"]
    assert names(model, 1) == ["head", "0.0.2", "0.0.1", "0.0.0"]


class Scaled(nn.Module):
    """A layer with weights of its own, which does not know how to start anew."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(10.0))


def test_random_weights_are_others_and_follow_from_the_generator() -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), Scaled(), nn.Linear(3, 4))
    nn.init.uniform_(module[1].weight)
    nn.init.uniform_(module[1].running_mean)
    one, two, three = (copy.deepcopy(module) for _ in range(3))
    state = torch.get_rng_state()
    for target, seed in ((one, 0), (two, 0), (three, 1)):
        randomise_weights(target, make_generator(seed))
    assert torch.equal(torch.get_rng_state(), state)
    for (name, before), after in zip(module.named_parameters(), one.parameters(), strict=True):
        assert not torch.equal(before, after) or name == "1.bias"
    assert sorted(one[2].scale.tolist()) == list(range(10))
    assert one[1].weight.tolist() == [1] * 4 and one[1].running_mean.tolist() == [0] * 4
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one[0].weight, three[0].weight)


class Stubborn(nn.Linear):
    """Has the same weights whenever it starts anew."""

    def reset_parameters(self) -> None:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.weight.copy_(torch.randn(self.weight.shape, generator=generator))


def test_a_map_that_does_not_care_for_the_weights_fails() -> None:
    class Edges(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, x.roll(1, 2), x.roll(1, 3)], dim=1).abs()

    net = nn.Sequential(Edges(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Stubborn(3, 4))
    net[3].reset_parameters()
    checks = check_explanations(SSALModel(net, [], (1, 8, 8)), torch.randn(4, 1, 8, 8), steps=2, pairs=1)
    [cascade] = checks.randomisation
    assert [stage.randomised for stage in cascade.stages] == ["3"]
    assert cascade.stages[0].spearman == pytest.approx(1) and cascade.stages[0].ssim == pytest.approx(
        1, abs=1e-5
    )
    assert any(
        "the map of main fails the randomisation check".lower() in line.lower() for line in findings(checks)
    )


def test_maps_of_random_weights_are_unlike() -> None:
    checks = check_explanations(small_model(), images(20), steps=2, pairs=1, weight_draws=4)
    names = [cascade.subject.name for cascade in checks.randomisation]
    assert names == ["main", "early (3 groups)", "early (2 groups)", "late"]
    for cascade in checks.randomisation:
        assert abs(cascade.stages[-1].spearman) < 0.5
        assert cascade.stages[-1].ssim < 0.7
    assert any(line.startswith("When weights are random") for line in findings(checks))


def test_grad_cam_of_a_batch_is_that_of_its_images() -> None:
    model = small_model().eval()
    source = find_sources(model)[2]
    assert source is not None and source.head is None
    targets = torch.tensor([0, 1, 1, 0])
    batch = gradient_maps(lambda x: model(x).groups[1], images(), source, targets)
    for index, target in enumerate(targets.tolist()):
        single = gradient_map(lambda x: model(x).groups[1], images()[index][None], source, target)
        assert torch.allclose(batch[index], single, atol=1e-6)
