import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ssal.errors import DataError, InputError
from ssal.grouping import Grouping, agreement, group_classes

from .confusions import distinct, share

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "published_groupings"

partitions = st.integers(1, 30).flatmap(
    lambda classes: st.lists(st.integers(0, classes - 1), min_size=classes, max_size=classes).map(
        lambda drawn: np.unique(drawn, return_inverse=True)[1].tolist()
    )
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(partitions)
def test_members_and_sizes_make_up_the_labels(labels):
    grouping = Grouping.from_labels(labels)
    assert grouping.num_groups == len(set(labels))
    rebuilt = np.full(len(labels), -1)
    for group in range(grouping.num_groups):
        members = grouping.members(group)
        assert len(members) == grouping.sizes[group] > 0
        rebuilt[members] = group
    np.testing.assert_array_equal(rebuilt, labels)


@given(partitions, st.data())
@settings(deadline=None)
def test_json_returns_what_was_saved(tmp_path_factory, labels, data):
    names = data.draw(st.none() | st.lists(texts, min_size=len(labels), max_size=len(labels)))
    grouping = Grouping.from_labels(labels, names)
    path = tmp_path_factory.mktemp("groups") / "groups.json"
    grouping.save(path)
    loaded = Grouping.load(path)
    assert loaded == grouping
    assert hash(loaded) == hash(grouping)
    assert path.read_bytes().isascii()


def test_the_file_shows_each_group_with_its_names_on_a_line(tmp_path):
    path = tmp_path / "groups.json"
    Grouping.from_labels([0, 1, 0], ["cat", "car", "dog"]).save(path)
    assert '{"classes": [0, 2], "names": ["cat", "dog"]}' in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["groups.json"]


@pytest.mark.parametrize("rebuild", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies_and_pickles_are_equal_and_as_immutable(rebuild):
    grouping = Grouping.from_labels([0, 1, 1], ["a", "b", "c"])
    rebuilt = rebuild(grouping)
    assert rebuilt == grouping
    assert len({rebuilt, grouping}) == 1
    with pytest.raises(ValueError, match="read-only"):
        rebuilt.labels[0] = 1


def test_a_grouping_does_not_change_with_what_it_was_made_from():
    labels = np.array([0, 1, 1])
    grouping = Grouping.from_labels(labels)
    labels[0] = 1
    np.testing.assert_array_equal(grouping.labels, [0, 1, 1])
    assert grouping.labels.dtype == np.int64
    assert torch.tensor(grouping.labels).tolist() == [0, 1, 1]
    with pytest.raises(AttributeError):
        grouping.class_names = ("a", "b", "c")


def test_equality_regards_labels_and_names():
    grouping = Grouping.from_labels([0, 1])
    assert grouping != Grouping.from_labels([1, 0])
    assert grouping != Grouping.from_labels([0, 1], ["a", "b"])
    assert grouping != [0, 1]


@given(st.integers(1, 60), st.data())
def test_random_groups_are_balanced_and_follow_the_seed(classes, data):
    groups, seed = data.draw(st.integers(1, classes)), data.draw(st.integers(0, 99))
    grouping = Grouping.random(classes, groups, seed)
    assert grouping.num_groups == groups
    assert grouping.sizes.max() - grouping.sizes.min() <= 1
    assert grouping == Grouping.random(classes, groups, seed)


def test_random_groups_differ_between_seeds():
    assert len({Grouping.random(20, 4, seed) for seed in range(10)}) == 10


def test_identity_puts_each_class_alone():
    grouping = Grouping.identity(4, ["a", "b", "c", "d"])
    np.testing.assert_array_equal(grouping.labels, [0, 1, 2, 3])
    assert grouping.class_names == ("a", "b", "c", "d")
    assert grouping.is_identity and not Grouping.random(4, 3).is_identity


@given(st.integers(2, 12), st.integers(0, 500), st.data())
def test_share_is_the_objective_of_the_method_dense_and_sparse(classes, seed, data):
    confusion = (
        distinct(classes, seed).round(2) * (np.random.default_rng(seed).random(classes) < 0.9)[:, None]
    )
    grouping = Grouping.random(classes, data.draw(st.integers(1, classes)), seed)
    expected = share(confusion, grouping.labels)
    assert grouping.share(confusion) == pytest.approx(expected)
    assert grouping.share(sparse.coo_array(confusion)) == pytest.approx(expected)
    assert grouping.share(torch.tensor(confusion)) == pytest.approx(expected)
    assert 0 <= grouping.share(confusion) <= 1


def test_share_of_one_group_is_all_of_identity_none_and_of_no_confusion_none():
    confusion = distinct(6, 0)
    assert Grouping.from_labels([0] * 6).share(confusion) == pytest.approx(1)
    rounded_up = [[9, 1, 0, 0], [2, 8, 0, 0], [0, 0, 7, 3], [1, 0, 2, 7]]
    assert Grouping.from_labels([0] * 4).share(rounded_up) == 1
    assert Grouping.identity(6).share(confusion) == 0
    assert Grouping.from_labels([0] * 6).share(np.eye(6)) == 0


def test_share_needs_a_matrix_of_the_same_classes():
    with pytest.raises(InputError, match="3 classes, the confusion matrix for 4"):
        Grouping.identity(3).share(np.eye(4))


def test_agreement_is_one_for_renamed_groups_and_about_zero_for_unrelated_ones():
    first = Grouping.random(300, 10, 0)
    renamed = Grouping.from_labels((first.labels + 3) % 10)
    assert agreement(first, renamed) == pytest.approx(1)
    assert abs(agreement(first, Grouping.random(300, 10, 1))) < 0.1
    with pytest.raises(InputError, match="300 and of 4"):
        agreement(first, Grouping.identity(4))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "vector of integers"),
        ([[0, 1]], "vector of integers"),
        ([0.0, 1.0], "vector of integers"),
        ([True, False], "vector of integers"),
        (["a"], "vector of integers"),
        ([0, 2, 2], "group 1 has no class, though ids go up to 2"),
        ([0, -1], "class 1 is in group -1"),
        ([0, 10**15], "class 1 is in group 1000000000000000; group ids of 2 classes are 0 to at most 1"),
        ([1, 1], "group 0 has no class"),
    ],
)
def test_labels_that_are_no_grouping_are_named(labels, message):
    with pytest.raises(InputError, match=message):
        Grouping.from_labels(labels)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["a"], "1 class names for 2"), ("ab", "sequence of texts"), ([1, 2], "sequence of texts")],
)
def test_names_that_do_not_fit_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        Grouping.from_labels([0, 1], names)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Grouping.identity(0), "num_classes must be an integer of at least 1, not 0"),
        (lambda: Grouping.random(3, 4), "4 groups of 3 classes leave groups empty"),
        (lambda: Grouping.random(3, 1.5), "num_groups must be an integer"),
        (lambda: Grouping.identity(3).members(3), "no group 3; the groups are 0 to 2"),
        (lambda: Grouping.identity(3).members(-1), "no group -1"),
        (lambda: Grouping.identity(3).save("groups.txt"), r"written as \.json, not as groups\.txt"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_text_with_one_group_id_per_line_is_read(tmp_path):
    path = tmp_path / "groups.txt"
    path.write_bytes(b"\xef\xbb\xbf1\r\n0\r\n 1 \r\n\r\n")
    assert Grouping.load(path) == Grouping.from_labels([1, 0, 1])


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published groupings are not at hand")
def test_all_published_groupings_are_read():
    paths = sorted(PUBLISHED.glob("*.txt"))
    assert paths
    for path in paths:
        data, groups = path.stem.split("_")[:2]
        grouping = Grouping.load(path)
        assert grouping.labels.size == {"cifar100": 100, "imagenet": 1000}[data]
        assert grouping.num_groups == (20 if groups == "default" else int(groups))


GOOD = {
    "format": "ssal-grouping",
    "version": 1,
    "num_classes": 3,
    "groups": [{"classes": [0, 2], "names": ["a", "c"]}, {"classes": [1], "names": ["b"]}],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version"),
        ({"format": "other"}, "format"),
        ({"extra": 1}, "extra"),
        ({"num_classes": 4}, "num_classes is 4, but 3 classes are listed"),
        ({"num_classes": "3"}, "num_classes: Input should be a valid integer"),
        ({"groups": []}, "num_classes is 3, but 0"),
        ({"groups": [{"classes": [0, 1, 2]}, {"classes": []}]}, "group 1 has no class"),
        ({"groups": [{"classes": []}, {"classes": [0, 1, 2]}]}, "group 0 has no class"),
        ({"groups": [{"classes": [0, 1]}, {"classes": [1]}]}, "class 1 is in group 0 and in group 1"),
        ({"groups": [{"classes": [0, 1]}, {"classes": [7]}]}, "holds class 7; 3 classes"),
        ({"groups": [{"classes": [0, 1]}, {"classes": [-1]}]}, "holds class -1"),
        ({"groups": [{"classes": [0, 1.5]}, {"classes": [2]}]}, "groups.0.classes.1"),
        ({"groups": [{"classes": [0, 1], "names": ["a"]}, {"classes": [2]}]}, "2 classes, but 1 names"),
        ({"groups": [{"classes": [0, 1], "names": ["a", "b"]}, {"classes": [2]}]}, "group 1 has no names"),
        ({"groups": 3}, "groups"),
    ],
)
def test_json_that_is_no_grouping_is_named(tmp_path, change, message):
    path = tmp_path / "groups.json"
    path.write_text(json.dumps(GOOD))
    assert Grouping.load(path) == Grouping.from_labels([0, 1, 0], ["a", "b", "c"])
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(DataError, match=message) as caught:
        Grouping.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("g.json", b"", "no grouping"),
        ("g.json", b"[" * 100_000, "no grouping"),
        ("g.json", b"\xff\xfe", "no grouping"),
        ("g.json", b"null", "no grouping"),
        ("g.txt", b"", "vector of integers"),
        ("g.txt", b"0\nx\n", "line 2 is 'x', not a group id"),
        ("g.txt", b"0\n\n1\n", "line 2 is '', not a group id"),
        ("g.txt", b"0\n-1\n", "line 2 is '-1'"),
        ("g.txt", b"0\n" + b"9" * 5000, "line 2 is '9999"),
        ("g.txt", "0\n٣\n".encode(), "line 2"),
        ("g.txt", b"\xff\n", "no text"),
        ("g.txt", b"0\n5\n", "class 1 is in group 5"),
        ("g.yaml", b"0\n", r"\.json or \.txt"),
    ],
)
def test_files_that_hold_no_grouping_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        Grouping.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_and_oversized_files_are_named(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        Grouping.load(tmp_path / "none.json")
    with pytest.raises(
        DataError, match="there is no such run or file; a grouping is read from .json or .txt"
    ):
        Grouping.load(tmp_path / "none")
    with pytest.raises(DataError, match="Is a directory"):
        (tmp_path / "folder.json").mkdir()
        Grouping.load(tmp_path / "folder.json")
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(DataError, match="too large"):
        Grouping.load(huge)


@given(st.binary(max_size=200), st.sampled_from(["g.json", "g.txt"]))
@settings(deadline=None)
def test_any_bytes_give_a_grouping_or_one_line(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(content)
    try:
        Grouping.load(path)
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("method", ["refined", "paper", "random"])
def test_negative_seeds_are_refused(method: str) -> None:
    with pytest.raises(InputError, match="^a seed must be 0 or more, not -1$"):
        group_classes(np.eye(6), 2, method=method, seed=-1)
    with pytest.raises(InputError, match="^a seed must be 0 or more, not -3$"):
        Grouping.random(6, 2, seed=-3)
