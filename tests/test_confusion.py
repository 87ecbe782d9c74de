import io
import os
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse
from sklearn.metrics import confusion_matrix as sklearn_confusion

import ssal.files
from ssal.confusion import (
    SoftConfusion,
    check_confusion,
    confusion_matrix,
    distance,
    load_confusion,
    normalise_rows,
    save_confusion,
    similarity,
    soft_confusion,
    sparse_confusion,
)
from ssal.errors import DataError, InputError

labels = st.integers(2, 9).flatmap(
    lambda classes: st.tuples(
        st.just(classes), st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), max_size=60)
    )
)
counts = st.integers(1, 7).flatmap(
    lambda classes: arrays.arrays(np.int64, (classes, classes), elements=st.integers(0, 50))
)


@given(labels)
def test_counts_are_those_of_sklearn_dense_and_sparse(case):
    classes, pairs = case
    predictions, targets = np.array([*pairs], dtype=int).reshape(-1, 2).T
    dense = confusion_matrix(predictions, targets, classes)
    assert dense.dtype == np.int64
    if pairs:
        np.testing.assert_array_equal(
            dense, sklearn_confusion(targets, predictions, labels=np.arange(classes))
        )
    compact = sparse_confusion(predictions, targets, classes)
    assert compact.has_canonical_format
    assert compact.dtype == np.int64
    np.testing.assert_array_equal(compact.toarray(), dense)


def test_rows_are_the_true_classes():
    assert confusion_matrix(predictions=[2], targets=[0], num_classes=3)[0, 2] == 1
    assert sparse_confusion(predictions=[2], targets=[0], num_classes=3)[0, 2] == 1


def test_tensors_count_like_arrays():
    predictions, targets = torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0], dtype=torch.int32)
    np.testing.assert_array_equal(confusion_matrix(predictions, targets, 2), [[1, 1], [0, 1]])


def test_sparse_memory_does_not_grow_with_the_square_of_the_classes():
    compact = sparse_confusion([999_999], [0], 1_000_000)
    assert compact.nnz == 1
    assert compact[0, 999_999] == 1


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        ([0, 3], [0, 1], r"predictions\[1\] is 3, but the 3 classes are 0 to 2"),
        ([0, 1], [0, -1], r"targets\[1\] is -1"),
        ([0, 1], [0], "2 predictions, but 1 targets"),
        ([0.0, 1.0], [0, 1], "integers"),
        ([[0], [1]], [0, 1], "vector"),
        ([0, "a"], [0, 1], "real numbers"),
        ([[0], [1, 2]], [0, 1], "differ in length"),
    ],
)
def test_bad_labels_are_named(predictions, targets, message):
    for count in (confusion_matrix, sparse_confusion):
        with pytest.raises(DataError, match=message):
            count(predictions, targets, 3)


@pytest.mark.parametrize("num_classes", [0, -1, 2.0, True, "3"])
def test_a_number_of_classes_that_is_none_is_refused(num_classes):
    with pytest.raises(InputError, match="num_classes"):
        confusion_matrix([], [], num_classes)


def test_a_dense_matrix_of_too_many_classes_is_refused_before_it_is_made():
    with pytest.raises(InputError, match="sparse_confusion"):
        confusion_matrix([0], [0], 100_000)


def softmax_batch(seed, samples=40, classes=5):
    generator = np.random.default_rng(seed)
    scores = np.exp(generator.normal(size=(samples, classes)))
    return scores / scores.sum(1, keepdims=True), generator.integers(classes - 1, size=samples)


@given(st.integers(0, 1000), st.lists(st.integers(0, 40), max_size=4))
def test_soft_confusion_is_the_mean_per_class_however_it_is_batched(seed, cuts):
    probabilities, targets = softmax_batch(seed)
    soft = SoftConfusion(5)
    for rows in np.split(np.arange(40), sorted(cuts)):
        soft.update(probabilities[rows], targets[rows])
    whole = soft_confusion(probabilities, targets, 5)
    np.testing.assert_allclose(soft.matrix(), whole, atol=1e-15)
    for true in range(4):
        if (targets == true).any():
            np.testing.assert_allclose(whole[true], probabilities[targets == true].mean(0))
    np.testing.assert_array_equal(whole[4], 0)
    np.testing.assert_array_equal(soft.counts, np.bincount(targets, minlength=5))


def test_soft_confusion_of_certain_predictions_is_the_normalised_count():
    generator = np.random.default_rng(0)
    predictions, targets = generator.integers(4, size=(2, 200))
    counted = confusion_matrix(predictions, targets, 4)
    soft = soft_confusion(np.eye(4)[predictions], targets, 4)
    np.testing.assert_allclose(soft, counted / counted.sum(1, keepdims=True))


def test_soft_confusion_takes_half_precision_tensors():
    probabilities, targets = softmax_batch(1)
    half = torch.tensor(probabilities, requires_grad=True).bfloat16()
    np.testing.assert_allclose(
        soft_confusion(half, torch.tensor(targets), 5), soft_confusion(probabilities, targets, 5), atol=0.01
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[2.0, -1.0], [0.5, 0.5]], "row 0"),
        ([[0.5, 0.5], [3.0, 4.0]], "row 1"),
        ([[0.5, 0.5], [np.nan, 0.5]], "row 1"),
        ([[0.5, 0.5]], r"shape \[1, 2\]"),
        ([[1.0], [1.0]], r"shape \[2, 1\]"),
    ],
)
def test_what_is_no_probability_is_refused_and_changes_nothing(rows, message):
    soft = SoftConfusion(2)
    with pytest.raises(DataError, match=message):
        soft.update(rows, [0, 1])
    assert not soft.sums.any()


@given(counts)
def test_f_is_normalised_then_loses_its_diagonal(confusion):
    shares = normalise_rows(confusion)
    totals = confusion.sum(1)
    for i, j in np.ndindex(confusion.shape):
        expected = 0 if i == j or totals[i] == 0 else confusion[i, j] / totals[i]
        assert shares[i, j] == pytest.approx(expected)


@given(counts)
def test_dense_and_sparse_agree_and_the_input_stays(confusion):
    compact = sparse.csr_array(confusion)
    before = compact.copy()
    for derive in (normalise_rows, similarity, lambda c: distance(c, "split"), lambda c: distance(c, "join")):
        dense, from_sparse = derive(confusion), derive(compact)
        if sparse.issparse(from_sparse):
            assert from_sparse.has_canonical_format
            from_sparse = from_sparse.toarray()
        np.testing.assert_allclose(from_sparse, dense, atol=1e-15)
    assert (compact != before).nnz == 0


@given(counts)
def test_similarity_and_distance_are_those_of_the_equations(confusion):
    shares = normalise_rows(confusion)
    np.testing.assert_allclose(similarity(confusion), (shares + shares.T) / 2)
    np.testing.assert_allclose(distance(confusion, "join"), ((1 - shares) + (1 - shares).T) / 2)
    np.testing.assert_allclose(distance(confusion, "split"), (shares + shares.T) / 2)


def test_duplicate_and_stored_zero_entries_of_a_sparse_matrix_are_summed_and_dropped():
    given_twice = sparse.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert check_confusion(given_twice).nnz == 1
    np.testing.assert_array_equal(normalise_rows(given_twice).toarray(), [[0, 1], [0, 0]])


@pytest.mark.parametrize(
    ("confusion", "message"),
    [
        (np.ones((2, 3)), r"square.*\[2, 3\]"),
        (np.ones(4), r"square.*\[4\]"),
        (np.ones((0, 0)), "square"),
        ([[1, 2], [3]], "differ in length"),
        ([["a", "b"], ["c", "d"]], "real numbers"),
        ([[1, 2], [-3, 4]], r"entry \[1, 0\].* is -3"),
        ([[1, np.nan], [3, 4]], r"entry \[0, 1\].* is nan"),
        ([[1, 2], [3, np.inf]], r"entry \[1, 1\].* is inf"),
    ],
)
def test_what_is_no_confusion_matrix_is_named(confusion, message):
    with pytest.raises(DataError, match=message):
        similarity(confusion)
    if isinstance(confusion, list) and "square" not in message and "entry" in message:
        with pytest.raises(DataError, match=message):
            similarity(sparse.csr_array(np.array(confusion)))


def test_rows_that_overflow_are_named():
    with pytest.raises(DataError, match="row 1 .* too large"):
        normalise_rows([[1.0, 1.0], [1.7e308, 1.7e308]])


def test_an_unknown_criterion_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'split'"):
        distance([[1]], "splt")


def test_sparse_distances_under_join_are_not_made_dense_over_many_classes():
    with pytest.raises(InputError, match="similarity"):
        distance(sparse.csr_array((20_000, 20_000)), "join")


NAMES = ("Apfel", "Bär,\nbraun", "‮<b>", "=A1")


@pytest.mark.parametrize("names", [None, NAMES])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_files_return_what_was_saved(tmp_path, names, form, dtype):
    confusion = form(np.random.default_rng(0).integers(5, size=(4, 4)).astype(dtype))
    save_confusion(tmp_path / "confusion.npz", confusion, names)
    loaded, loaded_names = load_confusion(tmp_path / "confusion.npz")
    assert loaded_names == names
    assert loaded.dtype == dtype
    assert sparse.issparse(loaded) == sparse.issparse(confusion)
    assert abs(loaded - confusion).sum() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["confusion.npz"]


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "confusion.npz"
    save_confusion(path, np.eye(2))
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ssal.files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_confusion(path, np.ones((3, 3)))
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["confusion.npz"]


def test_npy_is_read(tmp_path):
    np.save(tmp_path / "c.npy", np.arange(4).reshape(2, 2))
    loaded, names = load_confusion(tmp_path / "c.npy")
    np.testing.assert_array_equal(loaded, [[0, 1], [2, 3]])
    assert names is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("5,1\n2,3\n", None),
        ("cat,dog\n5,1\n2,3\n", ("cat", "dog")),
        ("0,1\n5,1\n2,3\n", ("0", "1")),
        ("cat,5,1\ndog,2,3\n", ("cat", "dog")),
        (",cat,dog\ncat,5,1\ndog,2,3\n", ("cat", "dog")),
        ("true \\ predicted,0,1\n0,5,1\n1,2,3\n\n", ("0", "1")),
    ],
)
def test_csv_is_read_with_and_without_names(tmp_path, text, names):
    path = tmp_path / "c.csv"
    path.write_text(text, encoding="utf-8-sig")
    loaded, loaded_names = load_confusion(path)
    np.testing.assert_array_equal(loaded, [[5, 1], [2, 3]])
    assert loaded_names == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("1,2\n3\n", "differ in length"),
        ("1,x\n3,4\n", "different classes"),
        ("a,b\n1,x\n3,4\n", r"entry \[0, 1\] is 'x'"),
        (",a,b\nb,1,2\na,3,4\n", "another order"),
        ("1,2,3,4\n5,6,7,8\n", "square"),
        ("1,-2\n3,4\n", r"\[0, 1\].* is -2"),
        ("1,nan\n3,4\n", "nan"),
    ],
)
def test_a_csv_that_is_no_confusion_matrix_is_named(tmp_path, text, message):
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_confusion(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        load_confusion(tmp_path / "none.npz")
    with pytest.raises(DataError, match=r"\.npz, \.npy, \.csv"):
        load_confusion(tmp_path / "c.pkl")
    with pytest.raises(InputError, match=r"\.npz"):
        save_confusion(tmp_path / "c.npy", np.eye(2))
    with pytest.raises(DataError, match="3 class names, but .* 2 classes"):
        save_confusion(tmp_path / "c.npz", np.eye(2), ["a", "b", "c"])
    np.savez(tmp_path / "other.npz", weights=np.eye(2))
    with pytest.raises(DataError, match="weights, but none called confusion"):
        load_confusion(tmp_path / "other.npz")
    np.savez(tmp_path / "later.npz", version=99, confusion=np.eye(2))
    with pytest.raises(DataError, match="format 99"):
        load_confusion(tmp_path / "later.npz")


def test_pickles_are_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    np.save(tmp_path / "c.npy", np.array([[Trap()]], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "c.npz", confusion=np.array([[Trap()]], dtype=object))
    for name in ("c.npy", "c.npz"):
        with pytest.raises(DataError, match="damaged"):
            load_confusion(tmp_path / name)
    assert not (tmp_path / "trapped").exists()


def test_indices_from_a_file_are_checked_before_they_are_used(tmp_path):
    np.savez(
        tmp_path / "c.npz",
        data=np.ones(1),
        indices=np.array([10**6]),
        indptr=[0, 1, 1],
        shape=np.array([2, 2]),
    )
    with pytest.raises(DataError, match="damaged"):
        load_confusion(tmp_path / "c.npz")


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("confusion.npy", b"")
    content = bytearray(path.read_bytes())
    # The size that the directory of the archive declares.
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.infolist()[0].file_size == 0xFFFFFFF0
    path.write_bytes(content)
    with pytest.raises(DataError, match="unpacks to more than 2 GiB"):
        load_confusion(path)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_files_give_one_line_and_no_other_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / data.draw(st.sampled_from(["c.npz", "c.npy", "c.csv"]))
    buffer = io.BytesIO()
    if path.suffix == ".npz":
        np.savez_compressed(buffer, confusion=np.eye(3), class_names=np.array(["a", "b", "c"]))
    elif path.suffix == ".npy":
        np.save(buffer, np.eye(3))
    else:
        buffer.write(b",a,b\na,1,2\nb,3,4\n")
    content = bytearray(buffer.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        matrix, _ = load_confusion(path)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        check_confusion(matrix)
