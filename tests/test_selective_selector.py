"""Scores of a joint answer, the fitted one among them, and a selector from held-out to test images."""

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ssal.errors import InputError
from ssal.joint import Outputs, fit_exponents, joint_log_prob
from ssal.metrics import area_under_risk_coverage
from ssal.selective import Sample, confidence_scores, fit_selector, from_json, show_score, to_json
from ssal.selective import scores as scores_module
from ssal.selective.combination import FEWEST, can_combine, fit_combination
from ssal.selective.scores import log_odds

LABELS = (torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 0, 1, 1, 1]))


def make_sample(seed, samples=400, noise=1.0):
    """A main classifier and two branches that see the truth, each with errors of its own."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(6, (samples,), generator=generator)

    def logits(label, groups):
        seen = noise * torch.randn(samples, groups, generator=generator)
        seen[torch.arange(samples), label[target]] += 2
        return seen

    outputs = Outputs(logits(torch.arange(6), 6), (logits(LABELS[0], 3), logits(LABELS[1], 2)))
    exponents = fit_exponents(outputs, target, LABELS, 3.0)
    joint = joint_log_prob(outputs, LABELS, exponents.branches, exponents.main)
    return Sample(outputs, joint, target, LABELS)


def test_scores_are_what_their_names_say():
    sample = make_sample(0, samples=30)
    found = confidence_scores(sample.outputs, sample.joint, LABELS)
    joint = sample.joint.double().exp().numpy()
    main = sample.outputs.main.double().softmax(dim=1).numpy()
    answer, rows = joint.argmax(axis=1), np.arange(30)
    ordered = np.sort(np.log(joint), axis=1)
    np.testing.assert_allclose(1 + found["JP"], joint.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(1 + found["main"], main[rows, answer], rtol=1e-6)
    np.testing.assert_allclose(found["energy"], np.log(np.exp(sample.outputs.main.double().numpy()).sum(1)))
    np.testing.assert_allclose(found["margin"], ordered[:, -1] - ordered[:, -2], rtol=1e-5)
    np.testing.assert_allclose(found["entropy"], -entropy(joint, axis=1), rtol=1e-5, atol=1e-6)
    agreement, branches = np.zeros(30), np.zeros(30)
    for logits, label in zip(sample.outputs.groups, LABELS, strict=True):
        probability = logits.double().softmax(dim=1).numpy()
        group = label.numpy()[answer]
        agreement += probability.argmax(axis=1) == group
        held = probability[rows, group]
        branches += np.log(held / (1 - held))
    np.testing.assert_array_equal(found["agreement"], agreement)
    np.testing.assert_allclose(found["branches"], branches, rtol=1e-6)
    order = np.lexsort((found["JP"], agreement))
    np.testing.assert_array_equal(np.argsort(found["agreement_JP"], kind="stable"), order)


def test_scores_do_not_depend_on_the_chunks(monkeypatch):
    sample = make_sample(1, samples=50)
    whole = confidence_scores(sample.outputs, sample.joint, LABELS)
    monkeypatch.setattr(scores_module, "_CHUNK", 40)
    parts = confidence_scores(sample.outputs, sample.joint, LABELS)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, parts[name])


def test_certain_answers_have_finite_scores():
    outputs = Outputs(torch.tensor([[500.0, 0.0, 0.0, 0.0, 0.0, 0.0]]), ())
    found = confidence_scores(outputs, outputs.main.log_softmax(1), ())
    assert all(np.isfinite(values).all() for values in found.values())
    assert np.isfinite(log_odds(found["JP"])).all()


def test_the_combination_is_the_logistic_regression_of_sklearn():
    sample = make_sample(2)
    scores, correct = confidence_scores(sample.outputs, sample.joint, LABELS), sample.correct
    combination, unseen = fit_combination(scores, correct)
    table = np.stack([log_odds(scores["JP"]), log_odds(scores["main"]), scores["branches"]], axis=1)
    scaler = StandardScaler().fit(table)
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(table), correct)
    np.testing.assert_allclose(combination(scores), model.decision_function(scaler.transform(table)))
    # The fit without a sample's own part tells less of it than the whole fit.
    assert not np.allclose(unseen, combination(scores))
    assert area_under_risk_coverage(unseen, correct) < 1.2 * area_under_risk_coverage(scores["JP"], correct)


def test_few_errors_make_no_combination():
    correct = np.ones(100, bool)
    correct[: FEWEST - 1] = False
    assert not can_combine(correct) and not can_combine(~correct)
    sample = make_sample(3, noise=0.05)
    with pytest.raises(InputError, match="10 wrong answers at least"):
        fit_combination(sample.scores(None), sample.correct)
    selector = fit_selector(sample, make_sample(4, noise=0.05), 3.0)
    assert selector.combination is None and selector.score == "JP"


def test_a_score_is_chosen_over_the_joint_probability_only_beyond_chance(monkeypatch):
    heldout, calibration = make_sample(5), make_sample(6)
    assert fit_selector(heldout, calibration, 3.0).score == "JP"
    from ssal.selective import selector as module

    def knowing(outputs, joint, labels):
        found = confidence_scores(outputs, joint, labels)
        right = heldout.correct if torch.equal(joint, heldout.joint) else found["JP"] > -0.2
        return found | {"agreement": right.astype(float)}

    monkeypatch.setattr(module, "confidence_scores", knowing)
    assert fit_selector(heldout, calibration, 3.0).score == "agreement"


def test_the_calibration_images_have_no_say_in_scores_and_thresholds():
    heldout = make_sample(7)
    one, other = (fit_selector(heldout, make_sample(seed, samples=300), 3.0) for seed in (8, 9))
    assert (one.score, one.combination, one.exponent_alone) == (
        other.score,
        other.combination,
        other.exponent_alone,
    )
    for ours, theirs in ((one.classes, other.classes), (one.groups, other.groups)):
        np.testing.assert_array_equal(ours.thresholds, theirs.thresholds)
        assert ours.start == theirs.start
        assert (ours.calibration.answered != theirs.calibration.answered).any()


def test_groups_answer_more_images_at_the_same_risk():
    selector = fit_selector(make_sample(10, 1500), make_sample(11, 1500), 3.0).tested(make_sample(12, 3000))
    alone, grouped = selector.classes.guarantee(0.05), selector.groups.guarantee(0.05)
    assert grouped.calibration.coverage > alone.calibration.coverage + 0.05
    assert 1 < grouped.calibration.size < 3 and alone.calibration.size == 1
    for guarantee in (alone, grouped):
        assert guarantee.test is not None and guarantee.holds
        assert guarantee.test.coverage == pytest.approx(guarantee.calibration.coverage, abs=0.06)
        assert "at most 5 % of the answers given are wrong, with 90 % confidence" in str(guarantee)
        assert "1,500 calibration images" in str(guarantee) and str(guarantee).endswith("wrong: kept")
    assert "with one class" in str(grouped) and "with one class" not in str(alone)


def test_more_confidence_answers_fewer():
    selector = fit_selector(make_sample(10), make_sample(11), 3.0)
    coverages = [
        selector.groups.guarantee(0.1, confidence).calibration.coverage for confidence in (0.5, 0.9, 0.99)
    ]
    assert coverages == sorted(coverages, reverse=True) and coverages[0] > coverages[-1]


def test_a_risk_out_of_reach_is_refused_with_what_is_in_reach():
    classes = fit_selector(make_sample(10), make_sample(11), 3.0).classes
    with pytest.raises(
        InputError, match=r"0\.001 cannot be guaranteed with 400 calibration images"
    ) as caught:
        classes.guarantee(0.001)
    least = float(str(caught.value).rpartition(" ")[2])
    assert classes.guarantee(least).risk == least
    assert least == pytest.approx(classes.smallest_risk(), abs=1e-4)


def test_without_calibration_images_nothing_is_promised():
    whole = make_sample(10)
    none = Sample(
        Outputs(whole.outputs.main[:0], tuple(group[:0] for group in whole.outputs.groups)),
        whole.joint[:0],
        whole.target[:0],
        LABELS,
    )
    selector = from_json(to_json(fit_selector(whole, none, 3.0)))
    for calibrated in (selector.classes, selector.groups):
        assert calibrated.smallest_risk() == 1
        with pytest.raises(InputError, match="larger --holdout"):
            calibrated.guarantee(0.5)


def test_a_selector_survives_its_file():
    selector = fit_selector(make_sample(13), make_sample(14), 3.0).tested(make_sample(15))
    text = to_json(selector)
    again = from_json(text)
    assert to_json(again) == text
    assert str(again.groups.guarantee(0.2)) == str(selector.groups.guarantee(0.2))
    assert again.classes.thresholds[-1] == -np.inf
    assert len(text) < 40_000


def damage(**changes):
    content = json.loads(to_json(fit_selector(make_sample(13), make_sample(14), 3.0)))
    for path, value in changes.items():
        place = content
        *steps, last = path.split("__")
        for step in steps:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": None},
        {"score": "magic"},
        {"extra": 1},
        {"classes__start": 10_000},
        {"classes__start": -1},
        {"classes__thresholds": [0.1, 0.2]},
        {"groups__calibration__wrong": [5]},
        {"groups__calibration__images": 3},
        {"groups__calibration__answered": [10**30] * 201},
        {"combination__scale": [0.0, 1.0, 1.0]},
        {"exponent_alone": -1.0},
    ],
)
def test_a_damaged_selector_is_refused(changes):
    with pytest.raises(ValidationError):
        from_json(damage(**changes))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "1" * 5000])
def test_what_is_no_selector_is_refused(text):
    with pytest.raises(ValidationError):
        from_json(text)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("JP", -1e-9, "99.99999990 %"),
        ("JP", 0.0, "100.000000000000 %"),
        ("combination", 0.0, "50.00 %"),
        ("combination", -1e6, "0.00 %"),
        ("margin", 1.25, "1.250 nats"),
        ("agreement_JP", 1.75, "1.750"),
    ],
)
def test_scores_are_shown_with_their_units(name, value, shown):
    assert show_score(name, value) == shown
