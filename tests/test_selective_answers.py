"""Which answers are possible, which is given at a threshold, and how many are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssal.selective import ABSTAINED, Answers, class_answers, find_spans, nested_answers, threshold_sequence

LABELS = (torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 0, 1, 1, 1]))


def random_joint(seed, samples=50, classes=6, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.log_softmax(scale * torch.randn(samples, classes, generator=generator), dim=1)


def members(answers, labels, row, place):
    part, choice = answers.parts[row, place], answers.choices[row, place]
    if part == 0:
        return {int(choice)}
    return set(torch.where(labels[part - 1] == int(choice))[0].tolist())


def test_answers_are_the_best_class_and_the_best_group_of_each_branch():
    joint = random_joint(0)
    answers = nested_answers(joint, LABELS)
    probability = joint.double().exp().numpy()
    assert (np.diff(answers.sizes, axis=1) >= 0).all()
    for row in range(len(joint)):
        assert sorted(answers.parts[row]) == [0, 1, 2]
        for place in range(3):
            part, held = answers.parts[row, place], members(answers, LABELS, row, place)
            assert answers.sizes[row, place] == len(held)
            mass = probability[row, sorted(held)].sum()
            assert 1 + answers.scores[row, place] == pytest.approx(mass)
            label = torch.arange(6) if part == 0 else LABELS[part - 1]
            masses = [probability[row, (label == group).numpy()].sum() for group in label.unique()]
            assert mass == pytest.approx(max(masses))


def test_an_answer_is_right_if_it_holds_the_true_class():
    joint, target = random_joint(1), torch.arange(50) % 6
    answers = nested_answers(joint, LABELS)
    right = answers.right(target, LABELS)
    for row in range(50):
        for place in range(3):
            assert right[row, place] == (int(target[row]) in members(answers, LABELS, row, place))


def test_a_certain_class_does_not_saturate():
    logits = torch.tensor([[40.0, 0.0, 0.0, 0.0, 0.0, 0.0], [50.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    scores = nested_answers(logits.log_softmax(1), LABELS).scores
    assert scores[0, 0] < scores[1, 0] < 0


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_answering_image_by_image(seed, width, steps):
    generator = np.random.default_rng(seed)
    samples = int(generator.integers(1, 30))
    # Coarse scores: ties with each other and with the thresholds.
    scores = generator.integers(0, 6, (samples, width)) / 5
    sizes = np.sort(generator.integers(1, 5, (samples, width)), axis=1)
    answers = Answers(scores, np.zeros_like(sizes), np.zeros_like(sizes), sizes)
    right = generator.random((samples, width)) < 0.5
    thresholds = threshold_sequence(generator.integers(0, 6, 9) / 5, steps)
    spans = find_spans(answers, right, thresholds)
    rows = generator.permutation(samples)[: samples // 2]
    for kept, tally in ((np.arange(samples), spans.tally()), (rows, spans.select(rows).tally())):
        assert tally.images == len(kept)
        for index, threshold in enumerate(thresholds):
            chosen = answers.at(threshold)[kept]
            given_ = [(row, place) for row, place in zip(kept, chosen, strict=True) if place != ABSTAINED]
            assert tally.answered[index] == len(given_)
            assert tally.wrong[index] == sum(not right[place] for place in given_)
            assert tally.classes[index] == sum(sizes[place] for place in given_)
            assert tally.single[index] == sum(sizes[place] == 1 for place in given_)
    rest = spans.tally().less(spans.select(rows).tally())
    others = np.setdiff1d(np.arange(samples), rows)
    np.testing.assert_array_equal(rest.wrong, spans.select(others).tally().wrong)


def test_the_smallest_answer_that_is_sure_enough_is_given():
    scores = np.array([[-0.5, -0.1, -0.3]])
    zeros = np.zeros((1, 3), dtype=np.int64)
    answers = Answers(scores, zeros, zeros, np.array([[1, 2, 3]]))
    assert [int(answers.at(threshold)[0]) for threshold in (-0.05, -0.1, -0.4, -0.5, -np.inf)] == [
        ABSTAINED,
        1,
        1,
        0,
        0,
    ]


def test_lower_thresholds_answer_more_and_with_smaller_answers():
    joint = random_joint(2, samples=300)
    answers = nested_answers(joint, LABELS)
    tally = find_spans(
        answers, answers.right(joint.argmax(1), LABELS), threshold_sequence(answers.scores)
    ).tally()
    assert (np.diff(tally.answered) >= 0).all() and (np.diff(tally.single) >= 0).all()
    assert tally.answered[-1] == tally.single[-1] == 300 and tally.wrong[-1] == 0


def test_classes_alone_are_one_possible_answer():
    joint = random_joint(3)
    answers = class_answers(joint, np.arange(50.0))
    assert answers.scores.shape == (50, 1)
    np.testing.assert_array_equal(answers.choices[:, 0], joint.argmax(dim=1))
    np.testing.assert_array_equal(answers.right(joint.argmax(dim=1), LABELS), np.ones((50, 1), bool))


@pytest.mark.parametrize("steps", [1, 3, 200])
def test_thresholds_fall_and_end_with_all(steps):
    scores = np.random.default_rng(0).random(57).round(2)
    thresholds = threshold_sequence(scores, steps)
    assert (np.diff(thresholds) < 0).all() and thresholds[-1] == -np.inf
    assert len(thresholds) <= steps + 1 and set(thresholds[:-1]) <= set(scores)


def test_no_images_give_no_counts():
    joint = random_joint(4)[:0]
    answers = nested_answers(joint, LABELS)
    tally = find_spans(answers, answers.right([], LABELS), np.array([0.0, -np.inf])).tally()
    assert tally.images == 0 and tally.answered.tolist() == [0, 0]
    assert threshold_sequence(answers.scores).tolist() == [-np.inf]


def test_of_two_groups_of_one_size_the_surer_comes_first():
    joint = torch.tensor([[0.4, 0.1, 0.3, 0.2]]).log()
    pairs = (torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]))
    answers = nested_answers(joint, pairs)
    assert answers.parts.tolist() == [[0, 2, 1]]
    np.testing.assert_allclose(1 + answers.scores, [[0.4, 0.7, 0.5]], rtol=1e-6)
    # A class that is a group of its own stands for itself.
    single = nested_answers(joint, (torch.arange(4),))
    assert single.parts.tolist() == [[0, 1]] and single.sizes.tolist() == [[1, 1]]
