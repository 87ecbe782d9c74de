import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ssal.confusion import distance, similarity
from ssal.grouping.greedy import greedy_groups

from .confusions import distinct

sizes = st.integers(4, 24).flatmap(lambda c: st.tuples(st.just(c), st.integers(2, c // 2)))


def by_the_letter(far, groups):
    """The rule of the paper with D itself: every mean recomputed in every step."""
    classes = len(far)
    others = ~np.eye(classes, dtype=bool)
    average = [far[c, others[c]].mean() for c in range(classes)]
    clusters = [[c] for c in sorted(np.argsort(average)[-groups:])]
    left = set(range(classes)) - {cluster[0] for cluster in clusters}
    low, larger = divmod(classes, groups)
    while left:
        beyond = sum(len(cluster) > low for cluster in clusters)
        limit = low + (beyond < larger)
        _, chosen, cluster = min(
            (far[c, cluster].mean(), c, index)
            for c in left
            for index, cluster in enumerate(clusters)
            if len(cluster) < limit
        )
        clusters[cluster].append(chosen)
        left.remove(chosen)
    return {frozenset(cluster) for cluster in clusters}


@given(sizes, st.integers(0, 1000), st.sampled_from(["join", "split"]), st.booleans())
@settings(max_examples=80, deadline=None)
def test_running_sums_do_what_the_rule_says(case, seed, criterion, compact):
    classes, groups = case
    confusion = distinct(classes, seed)
    affinity = similarity(confusion) * (1 if criterion == "join" else -1)
    labels = greedy_groups(
        sparse.csr_array(affinity) if compact else affinity, groups, np.random.default_rng(seed)
    )
    found = {frozenset(np.flatnonzero(labels == group).tolist()) for group in range(groups)}
    assert found == by_the_letter(distance(confusion, criterion), groups)


@pytest.mark.parametrize("sign", [1, -1])
def test_every_step_is_a_closest_pair_where_many_tie(sign):
    counts = np.random.default_rng(0).poisson(0.05, size=(30, 30)) + 5 * np.eye(30)
    affinity = sign * similarity(counts)
    labels = greedy_groups(affinity, 7, np.random.default_rng(0))
    assert sorted(np.bincount(labels)) == [4, 4, 4, 4, 4, 5, 5]
    seeds = np.argsort(affinity.sum(1))[:7]
    lowest = np.sort(affinity.sum(1))[6]
    # The seeds are among the classes that are farthest from all others, ties aside.
    assert len({labels[c] for c in np.flatnonzero(affinity.sum(1) < lowest)}) == sum(affinity.sum(1) < lowest)
    assert (affinity.sum(1)[seeds] <= lowest).all()


def test_ties_are_broken_by_the_generator():
    nothing = np.zeros((40, 40))
    assert len({greedy_groups(nothing, 8, np.random.default_rng(s)).tobytes() for s in range(5)}) > 1
