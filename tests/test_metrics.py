import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_accuracy

from ssal.errors import DataError, InputError
from ssal.metrics import (
    area_under_risk_coverage,
    brier_score,
    error_detection_auroc,
    expected_calibration_error,
    mistake_severity,
    negative_log_likelihood,
    risk_coverage,
    summarise,
    top_k_accuracy,
)


def sample(seed, samples=200, classes=7, scale=2.0):
    generator = np.random.default_rng(seed)
    logits = scale * generator.normal(size=(samples, classes))
    target = generator.integers(classes, size=samples)
    logits[np.arange(samples), target] += 1.5
    return logits, target


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_top_k_is_that_of_sklearn_and_torchmetrics(seed, k):
    logits, target = sample(seed)
    reference = 100 * top_k_accuracy_score(target, logits, k=k, labels=np.arange(7))
    assert top_k_accuracy(logits, target, k) == pytest.approx(reference)
    other = multiclass_accuracy(
        torch.tensor(logits), torch.tensor(target), num_classes=7, average="micro", top_k=k
    )
    assert top_k_accuracy(logits, target, k) == pytest.approx(100 * float(other), abs=1e-4)


@pytest.mark.parametrize("k", [3, 4, 100])
def test_all_are_right_among_at_least_as_many_as_there_are_classes(k):
    assert top_k_accuracy([[3, 2, 1], [1, 2, 3]], [2, 0], k) == 100


def test_nll_and_brier_are_those_of_sklearn():
    logits, target = sample(1)
    probs = softmax(logits, axis=1)
    assert negative_log_likelihood(np.log(probs), target) == pytest.approx(log_loss(target, probs))
    reference = brier_score_loss(target, probs, labels=np.arange(7), scale_by_half=False)
    assert brier_score(probs, target) == pytest.approx(reference)


def test_a_true_class_without_probability_costs_infinitely_much():
    with np.errstate(divide="ignore"):
        assert negative_log_likelihood(np.log([[0.0, 1.0]]), [0]) == np.inf


def reference_ece(probs, target, bins):
    confidence, right = probs.max(1), probs.argmax(1) == target
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    error = sum(
        (which == b).mean() * abs(right[which == b].mean() - confidence[which == b].mean())
        for b in np.unique(which)
    )
    return 100 * error


@given(st.integers(0, 10_000), st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_ece_is_the_sum_over_bins(seed, bins):
    logits, target = sample(seed)
    probs = softmax(logits, axis=1)
    assert expected_calibration_error(probs, target, bins) == pytest.approx(
        reference_ece(probs, target, bins), abs=1e-4
    )


def test_ece_of_certain_predictions_is_the_error_rate():
    probs = np.eye(3)[[0, 1, 2, 0]]
    assert expected_calibration_error(probs, [0, 1, 2, 1]) == pytest.approx(25)


def test_probabilities_that_rounding_lifted_above_one_are_not_taken_for_logits():
    probs = torch.tensor([[1 + 1e-6, 0.0], [1.0, 0.0]])
    assert expected_calibration_error(probs, [0, 0]) == pytest.approx(0, abs=1e-4)


def test_summary_has_the_numbers_of_the_single_functions():
    logits, target = sample(2, classes=9)
    log_probs = log_softmax(logits, axis=1)
    assert summarise(log_probs, target) == {
        "top1": top_k_accuracy(logits, target, 1),
        "top5": top_k_accuracy(logits, target, 5),
        "nll": negative_log_likelihood(log_probs, target),
        "ece": expected_calibration_error(np.exp(log_probs), target),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_tensors_of_any_precision_are_taken(dtype):
    logits, target = sample(3)
    log_probs = torch.log_softmax(torch.tensor(logits, requires_grad=True), dim=1)
    expected = summarise(log_probs, torch.tensor(target))
    found = summarise(log_probs.to(dtype), torch.tensor(target, dtype=torch.int32))
    tolerance = 0.02 if dtype in (torch.bfloat16, torch.float16) else 1e-5
    assert found["nll"] == pytest.approx(expected["nll"], rel=tolerance)
    assert found["top1"] == pytest.approx(expected["top1"], abs=2)
    assert all(isinstance(value, float) for value in found.values())


def test_risk_is_the_error_rate_of_what_is_kept():
    generator = np.random.default_rng(0)
    confidence, correct = generator.random(50), generator.random(50) < 0.7
    coverage, risk = risk_coverage(confidence, correct)
    for kept in range(1, 51):
        best = np.argsort(-confidence)[:kept]
        assert coverage[kept - 1] == kept / 50
        assert risk[kept - 1] == pytest.approx(1 - correct[best].mean())
    assert area_under_risk_coverage(confidence, correct) == pytest.approx(risk.mean())


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30), st.randoms())
def test_ties_make_the_curve_the_mean_over_their_orders_and_independent_of_the_samples_order(rows, random):
    confidence, correct = (np.array(column) for column in zip(*rows, strict=True))
    _, risk = risk_coverage(confidence, correct)
    shuffled = random.sample(rows, len(rows))
    other = risk_coverage([row[0] for row in shuffled], [row[1] for row in shuffled])[1]
    np.testing.assert_allclose(risk, other)
    assert risk[-1] == pytest.approx(1 - correct.mean())
    assert ((risk >= 0) & (risk <= 1)).all()


def test_error_detection_is_an_area_under_the_curve():
    generator = np.random.default_rng(4)
    confidence = generator.normal(size=80).round(1)
    correct = generator.random(80) < 0.6
    assert error_detection_auroc(confidence, correct) == pytest.approx(roc_auc_score(correct, confidence))
    confidence[3] = -np.inf
    assert 0 < error_detection_auroc(torch.tensor(confidence), torch.tensor(correct)) < 1


@pytest.mark.parametrize("correct", [[True, True], [False, False]])
def test_error_detection_is_undefined_without_both_kinds(correct):
    assert np.isnan(error_detection_auroc([0.3, 0.4], correct))


def test_severity_is_the_height_of_the_lowest_common_ancestor():
    fine_to_coarse = [[0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 0, 1, 1, 1, 1]]
    # Same superclass: 1; same only at the second level: 2; the root alone: 3. Right predictions do not count.
    assert mistake_severity([1, 2, 7, 5], [0, 0, 0, 5], fine_to_coarse) == pytest.approx((1 + 2 + 3) / 3)
    two_level = fine_to_coarse[0]
    outside = 2 / 3
    assert mistake_severity([1, 2, 7, 5], [0, 0, 0, 5], two_level) == pytest.approx(1 + outside)
    assert np.isnan(mistake_severity([1, 2], [1, 2], two_level))


def test_a_hierarchy_that_is_none_is_refused():
    with pytest.raises(InputError, match="fine to coarse"):
        mistake_severity([0], [1], [[0, 0, 1, 1], [0, 1, 1, 1]])
    with pytest.raises(DataError, match=r"predictions\[1\] is 4"):
        mistake_severity([0, 4], [1, 1], [0, 0, 1, 1])


LOGITS, TARGET = sample(5, samples=4, classes=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top_k_accuracy(LOGITS, [0, 1, 2]), r"shape \[4, 3\] and target of shape \[3\]"),
        (lambda: top_k_accuracy(LOGITS, [0, 1, 2, 3]), r"target\[3\] is 3"),
        (lambda: top_k_accuracy(LOGITS, [0, 1, 2, -1]), r"target\[3\] is -1"),
        (lambda: top_k_accuracy(LOGITS, [0.0, 1, 2, 1]), "must be integers"),
        (lambda: top_k_accuracy(np.empty((0, 3)), np.empty(0, dtype=int)), "at least 1"),
        (
            lambda: top_k_accuracy(np.where(LOGITS[2, 1] == LOGITS, np.nan, LOGITS), TARGET),
            "sample 2 are NaN",
        ),
        (lambda: summarise(LOGITS, TARGET), "logits"),
        (lambda: negative_log_likelihood(softmax(LOGITS, 1), TARGET), "no distribution"),
        (lambda: brier_score(LOGITS, TARGET), "no distribution"),
        (lambda: risk_coverage([0.1, 0.2], [True]), "shape"),
        (lambda: risk_coverage([0.1, np.nan], [True, False]), r"confidence\[1\] is NaN"),
        (lambda: area_under_risk_coverage([], []), "at least 1"),
    ],
)
def test_bad_data_is_named(call, message):
    with pytest.raises(DataError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match="k of at least 1, not 0"):
        top_k_accuracy(LOGITS, TARGET, 0)
    with pytest.raises(InputError, match="at least 1 bin"):
        expected_calibration_error(softmax(LOGITS, 1), TARGET, bins=0)
