import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ssal.confusion import check_confusion
from ssal.errors import DataError, InputError
from ssal.grouping import Grouping, agreement, group_classes
from ssal.grouping.derive import METHODS

from .confusions import balanced, distinct, planted, share

criteria = st.sampled_from(["join", "split"])
sizes = st.integers(4, 40).flatmap(lambda c: st.tuples(st.just(c), st.integers(2, c // 2)))


@given(sizes, st.integers(0, 500), criteria, st.sampled_from(["refined", "paper", "random"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_sizes_differ_by_at_most_one_and_the_seed_decides(case, seed, criterion, method, compact):
    classes, groups = case
    generator = np.random.default_rng(seed)
    # Few counts: full of ties, of classes that are never confused, and of classes without a sample.
    counts = generator.poisson(0.4, size=(classes, classes)) * (generator.random(classes) < 0.8)[:, None]
    confusion = sparse.csr_array(counts) if compact else counts
    grouping = group_classes(confusion, groups, criterion=criterion, method=method, seed=seed)
    assert grouping.num_groups == groups
    assert grouping.sizes.sum() == classes
    assert grouping.sizes.max() - grouping.sizes.min() <= 1
    again = group_classes(confusion, groups, criterion=criterion, method=method, seed=seed)
    assert grouping == again


@given(sizes, st.integers(0, 500), criteria, st.sampled_from(["refined", "paper"]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_permuting_class_ids_permutes_the_grouping(case, seed, criterion, method, compact):
    classes, groups = case
    confusion = distinct(classes, seed)
    order = np.random.default_rng(seed + 1).permutation(classes)
    form = sparse.csr_array if compact else np.asarray
    options = {"criterion": criterion, "method": method, "seed": seed}
    grouping = group_classes(form(confusion), groups, **options)
    permuted = group_classes(form(confusion[np.ix_(order, order)]), groups, **options)
    np.testing.assert_array_equal(permuted.labels, grouping.labels[order])


@given(sizes, st.integers(0, 500), criteria)
@settings(max_examples=15, deadline=None)
def test_dense_sparse_and_tensor_give_the_same_groups(case, seed, criterion):
    classes, groups = case
    confusion = distinct(classes, seed)
    grouping = group_classes(confusion, groups, criterion=criterion)
    assert group_classes(sparse.coo_array(confusion), groups, criterion=criterion) == grouping
    assert group_classes(torch.tensor(confusion), groups, criterion=criterion) == grouping


@given(sizes, st.integers(0, 500), criteria)
@settings(max_examples=30, deadline=None)
def test_refined_is_never_worse_than_the_greedy_rule_of_the_same_seed(case, seed, criterion):
    classes, groups = case
    confusion = np.random.default_rng(seed).poisson(1.0, size=(classes, classes))
    greedy = group_classes(confusion, groups, criterion=criterion, method="paper", seed=seed)
    refined = group_classes(confusion, groups, criterion=criterion, method="refined", seed=seed)
    sign = 1 if criterion == "join" else -1
    assert sign * refined.share(confusion) >= sign * greedy.share(confusion) - 1e-12


@given(sizes, st.integers(0, 500), criteria)
@settings(max_examples=20, deadline=None)
def test_no_swap_and_no_move_that_keeps_the_balance_improves_the_refined_groups(case, seed, criterion):
    classes, groups = case
    confusion = distinct(classes, seed)
    grouping = group_classes(confusion, groups, criterion=criterion, seed=seed)
    sign = 1 if criterion == "join" else -1
    best = sign * share(confusion, grouping.labels)
    low = classes // groups
    generator = np.random.default_rng(seed)
    for first, second in generator.integers(classes, size=(60, 2)):
        labels = grouping.labels.copy()
        labels[[first, second]] = labels[[second, first]]
        assert sign * share(confusion, labels) <= best + 1e-9
        labels = grouping.labels.copy()
        to = labels[second]
        if grouping.sizes[labels[first]] > low and grouping.sizes[to] == low:
            labels[first] = to
            assert sign * share(confusion, labels) <= best + 1e-9


@pytest.mark.parametrize(("classes", "groups"), [(4, 2), (6, 2), (6, 3), (7, 2), (7, 3), (8, 4), (9, 4)])
@pytest.mark.parametrize("criterion", ["join", "split"])
def test_refined_finds_the_optimum_of_small_cases(classes, groups, criterion):
    choose = max if criterion == "join" else min
    for seed in range(4):
        confusion = distinct(classes, seed)
        optimum = choose(share(confusion, labels) for labels in balanced(classes, groups))
        found = group_classes(confusion, groups, criterion=criterion, seed=seed).share(confusion)
        assert found == pytest.approx(optimum, abs=1e-12)


def test_the_reference_enumerates_all_balanced_partitions():
    # 8! / (2!^4 · 4!), 6! / (3!^2 · 2!), and 7 choose 3 for sizes 3 and 4.
    counts = {case: len(set(balanced(*case))) for case in [(8, 4), (6, 2), (7, 2)]}
    assert counts == {(8, 4): 105, (6, 2): 10, (7, 2): 35}


@pytest.mark.parametrize("criterion", ["join", "split"])
def test_planted_groups_are_found_and_kept_apart(criterion):
    truth = np.random.default_rng(0).permutation(60) // 3
    confusion = 10 * (truth[:, None] == truth) + 50 * np.eye(60)
    grouping = group_classes(confusion, 20, criterion=criterion)
    if criterion == "join":
        assert agreement(grouping, Grouping.from_labels(truth)) == pytest.approx(1)
        assert grouping.share(confusion) == pytest.approx(1)
    else:
        assert grouping.share(confusion) == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("classes", "groups"), [(100, 20), (100, 33), (400, 80)])
def test_refined_gathers_at_least_a_twelfth_more_confusion_than_the_greedy_rule(classes, groups, seed):
    confusion = planted(classes, 5, seed)
    greedy = group_classes(confusion, groups, method="paper", seed=seed).share(confusion)
    refined = group_classes(confusion, groups, seed=seed).share(confusion)
    assert refined >= 1.08 * greedy


@pytest.mark.parametrize("criterion", ["join", "split"])
@pytest.mark.parametrize("groups", [2, 7, 600, 900, 1250])
def test_many_classes_are_grouped_from_their_neighbours(criterion, groups):
    confusion = planted(2_500, 5, seed=groups)
    grouping = group_classes(confusion, groups, criterion=criterion, seed=1)
    assert grouping.num_groups == groups
    assert grouping.sizes.max() - grouping.sizes.min() <= 1
    assert grouping == group_classes(confusion, groups, criterion=criterion, seed=1)
    found = grouping.share(confusion)
    greedy = group_classes(confusion, groups, criterion=criterion, method="paper", seed=1).share(confusion)
    if criterion == "split":
        assert found <= greedy
    else:
        assert found >= (1.08 if groups >= 600 else 1) * greedy


def test_many_classes_follow_a_permutation_of_their_ids():
    generator = np.random.default_rng(0)
    confusion = check_confusion(planted(2_500, 5, seed=0))
    confusion.data += generator.random(confusion.nnz)
    order = generator.permutation(2_500)
    for criterion in ("join", "split"):
        grouping = group_classes(confusion, 500, criterion=criterion)
        permuted = group_classes(confusion[order][:, order], 500, criterion=criterion)
        np.testing.assert_array_equal(permuted.labels, grouping.labels[order])


def test_a_dense_matrix_of_many_classes_is_grouped_like_its_sparse_form():
    confusion = planted(2_100, 5, seed=0)
    dense, compact = (group_classes(form, 420).share(confusion) for form in (confusion.toarray(), confusion))
    assert dense == pytest.approx(compact, rel=0.005)


def test_soft_confusion_of_many_classes_is_thinned_to_neighbours():
    confusion = planted(2_100, 5, seed=0).toarray()
    soft = confusion / confusion.sum(1, keepdims=True) + 1e-4
    found = group_classes(soft, 420).share(confusion)
    assert found >= 0.98 * group_classes(confusion, 420).share(confusion)


@pytest.mark.parametrize("method", ["refined", "paper"])
@pytest.mark.parametrize("criterion", ["join", "split"])
@pytest.mark.parametrize("classes", [9, 2_100])
def test_classes_that_are_never_confused_are_grouped_at_random(method, criterion, classes):
    confusion = sparse.csr_array(sparse.eye_array(classes))
    found = {
        group_classes(confusion, 4, method=method, criterion=criterion, seed=seed).labels.tobytes()
        for seed in range(3)
    }
    assert len(found) == 3
    assert group_classes(confusion, 4, method=method, criterion=criterion).share(confusion) == 0


def test_groups_are_numbered_by_the_confusion_inside_them():
    confusion = planted(100, 5, seed=0)
    grouping = group_classes(confusion, 20)
    inside = [
        share(confusion.toarray(), np.where(grouping.labels == group, -1, np.arange(100)))
        for group in range(20)
    ]
    np.testing.assert_allclose(inside, sorted(inside, reverse=True))


def test_class_names_are_kept():
    names = [f"class {index}" for index in range(8)]
    for method in METHODS:
        grouping = group_classes(
            distinct(8, 0), "all" if method == "identity" else 2, method=method, class_names=names
        )
        assert grouping.class_names == tuple(names)


@pytest.mark.parametrize("num_groups", ["all", 6, np.int64(6)])
@pytest.mark.parametrize("method", METHODS)
def test_as_many_groups_as_classes_are_the_identity(num_groups, method):
    assert group_classes(distinct(6, 0), num_groups, method=method) == Grouping.identity(6)


def test_random_is_the_random_grouping_whatever_the_confusion():
    assert group_classes(distinct(9, 0), 4, method="random", seed=5) == Grouping.random(9, 4, 5)


@pytest.mark.parametrize(
    ("num_groups", "options", "message"),
    [
        (1, {}, "1 groups asked for, but 10 classes allow 2 to 5 groups, or 10, the classes themselves"),
        (6, {}, "6 groups asked for, but 10 classes allow 2 to 5"),
        (11, {}, "11 groups asked for"),
        (0, {}, "0 groups"),
        (2.0, {}, "num_groups is 2.0"),
        (True, {}, "num_groups is True"),
        ("al", {}, "num_groups is 'al'"),
        (2, {"method": "identity"}, "'identity' makes 10 groups of 10 classes, not 2"),
        (2, {"method": "refine"}, "did you mean 'refined'"),
        (2, {"criterion": "joim"}, "did you mean 'join'"),
        (2, {"class_names": ["a"]}, "1 class names for 10 classes"),
    ],
)
def test_bad_arguments_are_named(num_groups, options, message):
    with pytest.raises(InputError, match=message):
        group_classes(distinct(10, 0), num_groups, **options)


def test_three_classes_allow_only_the_identity():
    with pytest.raises(InputError, match="3 classes allow only 3, the classes themselves"):
        group_classes(distinct(3, 0), 2)
    assert group_classes(distinct(3, 0), "all") == Grouping.identity(3)


def test_a_bad_matrix_is_named():
    with pytest.raises(DataError, match=r"entry \[1, 0\]"):
        group_classes([[1, 0], [-1, 1]], "all")


def test_the_paper_s_rule_says_where_it_ends():
    with pytest.raises(InputError, match="use 'refined'"):
        group_classes(sparse.csr_array((100_000, 100_000)), 20_000, method="paper")
