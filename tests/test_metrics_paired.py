"""Reliability diagrams, and differences between two ways of prediction with what of them may be chance."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import norm
from sklearn.calibration import calibration_curve

from ssal.errors import DataError, InputError
from ssal.metrics import (
    area_gain,
    area_under_risk_coverage,
    calibration_gain,
    expected_calibration_error,
    mean_gain,
    reliability,
)
from ssal.metrics import paired as paired_module


def sample(seed, samples=300, classes=5):
    generator = np.random.default_rng(seed)
    target = generator.integers(classes, size=samples)
    logits = 2 * generator.normal(size=(samples, classes))
    logits[np.arange(samples), target] += 1.5
    return softmax(logits, axis=1), target


@given(st.integers(0, 1000), st.integers(1, 20))
@settings(max_examples=25, deadline=None)
def test_reliability_is_the_calibration_curve_of_sklearn(seed, bins):
    probs, target = sample(seed)
    found = reliability(probs, target, bins)
    filled = found.count > 0
    # scikit-learn's curve is one of a two-class problem: is the answer right?
    accuracy, confidence = calibration_curve(
        probs.argmax(axis=1) == target, probs.max(axis=1), n_bins=bins, strategy="uniform"
    )
    np.testing.assert_allclose(found.accuracy[filled], accuracy)
    np.testing.assert_allclose(found.confidence[filled], confidence)
    assert np.isnan(found.accuracy[~filled]).all() and np.isnan(found.confidence[~filled]).all()
    assert found.count.sum() == len(target)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_calibration_error_is_the_mean_distance_in_the_diagram(dtype):
    probs, target = sample(3)
    # Certain ones too, right and wrong.
    probs[:40] = np.eye(probs.shape[1])[target[:40]]
    probs[:10] = np.roll(probs[:10], 1, axis=1)
    values = torch.tensor(probs, dtype=dtype)
    found = reliability(values, target)
    filled = found.count > 0
    gaps = found.count[filled] * np.abs(found.accuracy - found.confidence)[filled]
    assert 100 * gaps.sum() / len(target) == pytest.approx(
        expected_calibration_error(values, target), abs=1e-3
    )


def test_certain_answers_are_in_the_last_bin():
    assert reliability(torch.tensor([[1 + 1e-6, 0.0]]), [0]).count.tolist() == [0] * 14 + [1]
    with pytest.raises(InputError, match="at least 1 bin"):
        reliability([[1.0, 0.0]], [0], bins=0)


def test_the_interval_of_a_mean_is_the_normal_one():
    generator = np.random.default_rng(0)
    ours, other = generator.random(500), generator.random(500) + 0.1
    gain = mean_gain(ours, other)
    difference = other - ours
    low, high = norm.interval(0.95, difference.mean(), difference.std() / np.sqrt(500))
    assert gain == pytest.approx((difference.mean(), low, high), abs=1e-4)
    with pytest.raises(DataError, match="losses of shapes"):
        mean_gain([1.0], [1.0, 2.0])
    with pytest.raises(DataError, match="losses of shapes"):
        mean_gain([], [])


def way(seed, sharpness, size=400):
    generator = np.random.default_rng(seed)
    hard = generator.random(size)
    correct = generator.random(size) > 0.6 * hard
    return -hard + generator.normal(size=size) / sharpness, correct


def reference_gain(ours, other, repeats, seed):
    """The same bootstrap with each sample drawn one by one."""
    generator = np.random.default_rng(seed)
    count = len(ours[0])
    differences = []
    for _ in range(repeats):
        weights = generator.multinomial(count, np.full(count, 1 / count))
        rows = np.repeat(np.arange(count), weights)
        areas = [area_under_risk_coverage(score[rows], correct[rows]) for score, correct in (ours, other)]
        differences.append(areas[1] - areas[0])
    return np.quantile(differences, [0.025, 0.975])


def test_the_gain_in_area_is_that_of_resampling():
    ours, other = way(1, 10), way(1, 1)
    gain = area_gain(ours, other, repeats=100, seed=3)
    assert gain.mean == pytest.approx(area_under_risk_coverage(*other) - area_under_risk_coverage(*ours))
    # Drawn twice, a sample is a tie with itself there, which is all the difference.
    np.testing.assert_allclose((gain.low, gain.high), reference_gain(ours, other, 100, 3), atol=2e-3)
    assert gain.low > 0
    mirrored = area_gain(other, ours, repeats=100, seed=3)
    assert mirrored == pytest.approx((-gain.mean, -gain.high, -gain.low))


def test_ties_are_resampled_like_everything_else():
    """Of a score with five values, whose ties hold errors of both kinds; of one value, accuracy alone."""
    generator = np.random.default_rng(5)
    for levels in (5, 1):
        ours, other = (
            (generator.integers(levels, size=400), generator.random(400) < share) for share in (0.75, 0.7)
        )
        gain = area_gain(ours, other, repeats=200, seed=3)
        np.testing.assert_allclose((gain.low, gain.high), reference_gain(ours, other, 200, 3), atol=3e-3)
        assert gain.high - gain.low > 0.03


def test_a_way_gains_nothing_over_itself():
    ours = way(2, 3)
    assert area_gain(ours, ours) == (0, 0, 0)


def test_the_interval_covers_the_truth_mostly():
    """Two scores of the same quality: their difference is 0."""
    outside = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        hard = generator.random(300)
        correct = generator.random(300) > 0.6 * hard
        scores = [-hard + generator.normal(size=300) for _ in range(2)]
        gain = area_gain((scores[0], correct), (scores[1], correct), repeats=100)
        outside += not gain.low <= 0 <= gain.high
    assert outside <= 9


def test_resampling_in_chunks_changes_nothing(monkeypatch):
    ours, other = way(1, 10), way(1, 1)
    whole = area_gain(ours, other)
    monkeypatch.setattr(paired_module, "_CHUNK", 3 * 400)
    assert area_gain(ours, other) == pytest.approx(whole)


def calibrated(seed, excess, size=400):
    """Top-1 probabilities that promise too much by `excess`, and what is right."""
    generator = np.random.default_rng(seed)
    probability = generator.uniform(0.5, 1 - excess, size)
    return probability + excess, generator.random(size) < probability


def bins_of(confidence, correct):
    """Confidence less accuracy of the samples of each of 15 bins, one bin after the other."""
    return [
        (confidence - correct)[(confidence > low / 15) & (confidence <= (low + 1) / 15)] for low in range(15)
    ]


def without_chance(confidence, correct):
    """Mean over all pairs of two samples of a bin, weighted with the samples of the bin."""
    pairs = [
        len(gap) * np.mean([a * b for i, a in enumerate(gap) for j, b in enumerate(gap) if i != j])
        for gap in bins_of(confidence, correct)
        if len(gap) > 1
    ]
    return sum(pairs) / len(confidence)


def with_chance(confidence, correct):
    return sum(len(gap) * gap.mean() ** 2 for gap in bins_of(confidence, correct) if len(gap)) / len(
        confidence
    )


def test_the_gain_in_calibration_is_that_of_resampling():
    ways = ours, other = calibrated(1, 0.0, 90), calibrated(1, 0.15, 90)
    gain = calibration_gain(ours, other, repeats=40, seed=3)
    assert gain.mean == pytest.approx(without_chance(*other) - without_chance(*ours))
    generator = np.random.default_rng(3)
    moved = []
    for _ in range(40):
        rows = np.repeat(np.arange(90), generator.multinomial(90, np.full(90, 1 / 90)))
        drawn = [without_chance(confidence[rows], correct[rows]) for confidence, correct in ways]
        moved.append(drawn[1] - drawn[0] - (with_chance(*other) - with_chance(*ours)))
    low, high = np.quantile(moved, [0.025, 0.975])
    assert (gain.low, gain.high) == pytest.approx((gain.mean - high, gain.mean - low))


def test_a_gain_in_calibration_beyond_chance_and_its_mirror():
    ours, other = calibrated(1, 0.0), calibrated(1, 0.15)
    gain = calibration_gain(ours, other, repeats=100, seed=3)
    assert gain.low > 0
    # Probabilities that promise 0.15 too much: their squared error is 0.0225, that of ours nothing.
    assert gain.low < 0.15**2 < gain.high
    assert calibration_gain(ours, ours) == (0, 0, 0)
    mirrored = calibration_gain(other, ours, repeats=100, seed=3)
    assert mirrored == pytest.approx((-gain.mean, -gain.high, -gain.low))


def test_samples_must_be_the_same():
    with pytest.raises(DataError, match="400 samples, but 300"):
        calibration_gain(calibrated(1, 0.1), calibrated(1, 0.1, size=300))
    with pytest.raises(DataError, match="400 samples, but 300"):
        area_gain(way(1, 1), way(1, 1, size=300))


def test_of_two_that_are_calibrated_neither_is_said_to_be_better_calibrated():
    """The one that says the same of all has its samples in one bin, the other a share of them in each."""
    generator = np.random.default_rng(5)
    beyond = 0
    for _ in range(40):
        spread, alike = generator.uniform(0.2, 1, 500), np.full(500, 0.7)
        ways = [(probability, generator.random(500) < probability) for probability in (alike, spread)]
        gain = calibration_gain(*ways, repeats=100)
        beyond += not gain.low <= 0 <= gain.high
    assert beyond <= 4
