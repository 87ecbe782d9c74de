"""The promises themselves: exact bounds, and how often they are broken in simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from ssal.errors import DataError, InputError
from ssal.selective import (
    ABSTAINED,
    Answers,
    choose_threshold,
    error_bound,
    error_control_threshold,
    find_spans,
    share_kept,
    threshold_sequence,
)
from ssal.selective.guarantee import best_start, sequence_bounds

REPETITIONS = 600
DELTA = 0.1
# What 600 repetitions of a rate of 0.1 stay below but once in a thousand times.
NOISE = 3.1 * math.sqrt(DELTA * (1 - DELTA) / REPETITIONS)


def column(scores, wrong):
    """One possible answer for each image."""
    ones = np.ones((len(scores), 1), dtype=np.int64)
    answers = Answers(np.asarray(scores, float)[:, None], 0 * ones, 0 * ones, ones)
    return answers, ~np.asarray(wrong, bool)[:, None]


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(("wrong", "answered"), [(0, 1), (0, 50), (1, 50), (7, 50), (49, 50), (50, 50)])
def test_the_bound_is_that_of_clopper_and_pearson(wrong, answered, confidence):
    interval = binomtest(wrong, answered, alternative="less").proportion_ci(confidence, method="exact")
    assert error_bound(wrong, answered, confidence) == pytest.approx(interval.high)
    if wrong < answered:
        assert error_bound(wrong, answered, confidence) == pytest.approx(
            beta.ppf(confidence, wrong + 1, answered - wrong)
        )


def test_nothing_is_known_without_an_answer():
    assert error_bound([0, 0], [0, 1]).tolist() == pytest.approx([1.0, 0.9])


@given(st.integers(0, 40), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_the_bound_rises_with_errors_and_falls_with_answers(wrong, more):
    answered = wrong + more
    assert error_bound(wrong, answered) < error_bound(wrong, answered - 1) + 1e-12
    assert error_bound(wrong, answered) < error_bound(wrong + 1, answered) + 1e-12


def reference_threshold(thresholds, start, scores, wrong, risk, confidence):
    """Test one threshold after the other, as the rule says it."""
    chosen = None
    for index in range(start, len(thresholds)):
        answered = scores >= thresholds[index]
        errors, count = int((answered & wrong).sum()), int(answered.sum())
        if count == 0 or errors == count:
            break
        interval = binomtest(errors, count, alternative="less").proportion_ci(confidence, method="exact")
        if interval.high > risk:
            break
        chosen = index
    return chosen


@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.2, 0.4]))
@settings(max_examples=40, deadline=None)
def test_the_threshold_is_the_last_that_passes_one_after_the_other(seed, risk):
    generator = np.random.default_rng(seed)
    scores = generator.random(60).round(generator.integers(1, 4))
    wrong = generator.random(60) > scores
    thresholds = threshold_sequence(generator.random(40).round(2), steps=15)
    tally = find_spans(*column(scores, wrong), thresholds).tally()
    for start in (0, 3):
        expected = reference_threshold(thresholds, start, scores, wrong, risk, 0.9)
        assert choose_threshold(tally, start, risk) == expected


def simulate(generator, size, error):
    """Scores drawn evenly from 0 to 1, and errors with the probability error(score)."""
    scores = generator.random(size)
    return scores, generator.random(size) < error(scores)


@pytest.mark.parametrize("risk", [0.05, 0.2])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(lambda s: 0.5 * (1 - s), id="falling"),
        # The error rate among the answers rises and falls with the threshold.
        pytest.param(lambda s: 0.05 + 0.3 * (np.sin(12 * s) > 0) * (s < 0.9), id="uneven"),
        pytest.param(lambda s: np.full_like(s, 0.2), id="no use"),
        pytest.param(lambda s: np.full_like(s, 0.051), id="just above"),
    ],
)
def test_the_error_rate_among_answers_exceeds_the_risk_in_one_of_ten_runs_at_most(error, risk):
    generator = np.random.default_rng(5)
    grid = np.linspace(0, 1, 200_001)
    rates = error(grid)
    # Error rate among the answers at each threshold, exactly: the mean over the scores above.
    true_risk = np.cumsum(rates[::-1])[::-1] / np.arange(len(grid), 0, -1)
    broken = found = 0
    for _ in range(REPETITIONS):
        first, wrong = simulate(generator, 150, error)
        thresholds = threshold_sequence(first)
        start = best_start(find_spans(*column(first, wrong), thresholds).tally(), 300)
        scores, wrong = simulate(generator, 300, error)
        tally = find_spans(*column(scores, wrong), thresholds).tally()
        index = choose_threshold(tally, start, risk)
        if index is not None:
            found += 1
            place = 0 if np.isinf(thresholds[index]) else int(np.ceil(thresholds[index] * 200_000))
            broken += bool(true_risk[min(place, 200_000)] > risk)
    assert broken / REPETITIONS <= DELTA + NOISE
    if risk == 0.2 and error(np.array([1.0]))[0] < 0.1:
        assert found > 0.8 * REPETITIONS, "a promise that is never made is easily kept"


def test_answers_of_several_sizes_keep_the_promise_too():
    """A class and a group of it, by one threshold on both: the level of the test need not be shared out."""
    generator = np.random.default_rng(6)
    risk, broken, backed_off = 0.1, 0, 0

    def draw(size):
        narrow = generator.random(size)
        wide = narrow + (1 - narrow) * generator.random(size)
        wrong_wide = generator.random(size) > wide
        # Wrong of the class where it is wrong of the group, and more often.
        wrong = wrong_wide | (generator.random(size) > np.minimum(1, narrow / wide))
        pair = np.stack([narrow, wide], axis=1)
        ones = np.ones_like(pair, dtype=np.int64)
        return Answers(pair, ones * [0, 1], 0 * ones, ones * [1, 3]), ~np.stack([wrong, wrong_wide], axis=1)

    truth, right = draw(20_000)
    for _ in range(REPETITIONS):
        before = draw(150)
        thresholds = threshold_sequence(before[0].scores)
        start = best_start(find_spans(*before, thresholds).tally(), 300)
        tally = find_spans(*draw(300), thresholds).tally()
        index = choose_threshold(tally, start, risk)
        if index is None:
            continue
        backed_off += bool(tally.single[index] < tally.answered[index])
        chosen = truth.at(thresholds[index])
        answered = np.flatnonzero(chosen != ABSTAINED)
        rate = 1 - right[answered, chosen[answered]].mean()
        # The truth is itself a sample, of 20,000.
        broken += bool(rate > risk + 0.004)
    assert broken / REPETITIONS <= DELTA + NOISE
    assert backed_off > REPETITIONS / 2


@pytest.mark.parametrize("risk", [0.02, 0.1, 0.3])
def test_the_share_of_answered_errors_is_controlled_on_average(risk):
    generator = np.random.default_rng(7)
    losses = []
    for _ in range(2000):
        scores, wrong = simulate(generator, 101, lambda s: 0.7 * (1 - s))
        threshold = error_control_threshold(scores[:100], ~wrong[:100], risk)
        losses.append(wrong[100] and scores[100] >= threshold)
    assert np.mean(losses) <= risk + 3.1 * math.sqrt(risk / 2000)
    # Not more careful than it need be: the loss falls short of the risk by 1 / (n + 1) at most.
    assert np.mean(losses) >= min(risk, 0.33) - 0.01 - 3.1 * math.sqrt(risk / 2000)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30), st.floats(0.01, 0.99))
@settings(max_examples=100, deadline=None)
def test_the_controlled_threshold_is_the_smallest_that_is_safe(rows, risk):
    scores, correct = np.array([row[0] for row in rows], float), np.array([row[1] for row in rows])

    def safe(threshold):
        loss = ((scores >= threshold) & ~correct).sum()
        return (loss + 1) / (len(rows) + 1) <= risk + 1e-9

    found = error_control_threshold(scores, correct, risk)
    candidates = [-math.inf, *(np.nextafter(score, math.inf) for score in np.unique(scores))]
    good = [threshold for threshold in candidates if safe(threshold)]
    assert found == (min(good) if good else math.inf)


def test_the_start_is_where_most_can_be_promised():
    scores = np.linspace(0, 1, 1000)
    wrong = (scores < 0.5) & (np.arange(1000) % 3 == 0)
    thresholds = threshold_sequence(scores)
    tally = find_spans(*column(scores, wrong), thresholds).tally()
    assert thresholds[best_start(tally, 1000)] == pytest.approx(0.5, abs=0.02)
    # Larger risks allow more answers, and the smallest that can be promised is that at the start.
    bounds = sequence_bounds(tally, best_start(tally, 1000))
    assert (np.diff(bounds) >= 0).all()
    assert choose_threshold(tally, best_start(tally, 1000), float(bounds[0]) - 1e-9) is None
    assert choose_threshold(tally, best_start(tally, 1000), float(bounds[0]) + 1e-9) is not None


def test_a_promise_is_kept_in_nine_of_ten_splits_of_like_images():
    generator = np.random.default_rng(8)
    scores, wrong = simulate(generator, 4000, lambda s: 0.4 * (1 - s))
    thresholds = threshold_sequence(generator.random(200))
    spans = find_spans(*column(scores, wrong), thresholds)
    kept = share_kept(spans, images=500, start=60, risk=0.1)
    assert 0.8 < kept <= 1
    assert kept == share_kept(spans, images=500, start=60, risk=0.1)
    # A bound without a margin is broken half of the time.
    assert share_kept(spans, images=500, start=60, risk=0.1, confidence=0.5) < kept


@pytest.mark.parametrize("risk", [0.0, 1.0, 2.0, -0.1, math.nan])
def test_a_risk_that_is_no_share_is_refused(risk):
    tally = find_spans(*column([0.5], [False]), np.array([-np.inf])).tally()
    with pytest.raises(InputError, match="share between 0 and 1") as caught:
        choose_threshold(tally, 0, risk)
    assert ("did you mean 0.02, which is 2 %?" in str(caught.value)) == (risk == 2)
    with pytest.raises(InputError, match="share between 0 and 1"):
        error_control_threshold([0.5], [True], risk)
    with pytest.raises(InputError, match="confidence is a share"):
        error_bound(0, 1, risk)


def test_scores_and_answers_must_fit():
    with pytest.raises(DataError, match="score of shape"):
        error_control_threshold([0.5, 0.3], [True], 0.1)
