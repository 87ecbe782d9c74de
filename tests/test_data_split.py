import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedShuffleSplit

from ssal.data import draw_per_class, holdout_split
from ssal.errors import DataError, InputError

targets_of = st.lists(st.integers(2, 30), min_size=1, max_size=12).flatmap(
    lambda counts: st.permutations([label for label, count in enumerate(counts) for _ in range(count)])
)


@given(targets_of, st.floats(0.01, 0.99), st.integers(0, 100))
def test_parts_are_exact_disjoint_and_leave_no_class_out(targets: list[int], share: float, seed: int) -> None:
    labels = np.array(targets)
    train, holdout = holdout_split(labels, share, seed)
    assert sorted([*train, *holdout]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(holdout) > 0).all()
    counts, held = np.bincount(labels), np.bincount(labels[holdout], minlength=labels.max() + 1)
    assert (held >= 1).all()
    assert (held <= counts - 1).all()
    assert (np.abs(held - share * counts) < 1 + 1e-9).all()
    floor = np.clip(np.floor(share * counts), 1, counts - 1).sum()
    room = np.clip(np.ceil(share * counts), 1, counts - 1).sum()
    assert held.sum() == np.clip(round(share * len(labels)), floor, room)


def test_class_counts_are_those_of_scikit_learn() -> None:
    labels = np.random.default_rng(0).integers(0, 7, 997)
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=round(0.13 * 997), random_state=0)
    theirs = np.bincount(labels[next(splitter.split(labels, labels))[1]])
    ours = np.bincount(labels[holdout_split(labels, 0.13, seed=0)[1]])
    assert ours.sum() == theirs.sum()
    # Where remainders are equal either may round up another class.
    assert np.abs(ours - theirs).max() <= 1


def test_the_seed_alone_decides() -> None:
    labels = np.repeat(np.arange(5), 40)
    first = holdout_split(labels, 0.1, seed=1)
    assert all(
        np.array_equal(a, b) for a, b in zip(first, holdout_split(labels.tolist(), 0.1, seed=1), strict=True)
    )
    assert not np.array_equal(first[1], holdout_split(labels, 0.1, seed=2)[1])


def test_all_samples_of_a_class_are_equally_likely_to_be_held_out() -> None:
    labels = np.repeat([0, 1], 10)
    times = np.zeros(20)
    for seed in range(2_000):
        times[holdout_split(labels, 0.3, seed)[1]] += 1
    assert np.abs(times / 2_000 - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / 2_000)


def test_ten_per_cent_of_cifar_is_fifty_per_class() -> None:
    labels = np.repeat(np.arange(100), 500)
    assert (np.bincount(labels[holdout_split(labels, 0.1, seed=0)[1]]) == 50).all()


def test_a_class_with_a_single_sample_is_named() -> None:
    with pytest.raises(DataError, match="class 'lynx' has a single image"):
        holdout_split([0, 0, 1, 2, 2], 0.5, 0, class_names=["cat", "lynx", "dog"])
    with pytest.raises(DataError, match="class 1 has a single image"):
        holdout_split([0, 0, 1], 0.5, 0)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        holdout_split([0, 0, 1, 1], share, 0)


@given(targets_of, st.integers(1, 40), st.integers(0, 100))
def test_so_many_of_each_class_are_drawn(targets: list[int], count: int, seed: int) -> None:
    labels = np.array(targets)
    drawn = draw_per_class(labels, count, seed)
    assert (np.diff(drawn) > 0).all()
    assert (np.bincount(labels[drawn]) == np.minimum(np.bincount(labels), count)).all()
    assert set(drawn) <= set(draw_per_class(labels, count + 1, seed)), "more images add to fewer"
    assert (drawn == draw_per_class(labels, count, seed)).all()


def test_other_seeds_draw_other_samples() -> None:
    labels = np.zeros(1000, dtype=np.int64)
    assert set(draw_per_class(labels, 20, 0)) != set(draw_per_class(labels, 20, 1))
    with pytest.raises(InputError, match="at least 1"):
        draw_per_class(labels, 0, 0)
