import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ssal.data import ArraySet, FileSet, open_data
from ssal.errors import DataError, InputError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NAMES = ["ant", "bee", "cat"]


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((6, 5, 3), number, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(
    path: Path,
    columns: dict[str, pa.Array],
    features: dict[str, Any] | None = None,
    metadata: bytes | None = None,
    **options: Any,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features is not None:
        metadata = json.dumps({"info": {"features": features}}).encode()
    if metadata is not None:
        table = table.replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, path, **options)
    return path


def images(count: int, first: int = 0) -> pa.Array:
    return pa.array([{"bytes": png(first + number), "path": "x.png"} for number in range(count)], type=IMAGE)


def label(names: list[str] = NAMES) -> dict[str, Any]:
    return {"_type": "ClassLabel", "names": names}


def huggingface(path: Path, labels: list[int], names: list[str] = NAMES, first: int = 0) -> Path:
    features = {"image": {"_type": "Image"}, "label": label(names)}
    return write(path, {"image": images(len(labels), first), "label": pa.array(labels)}, features)


@pytest.mark.parametrize(
    "layout", ["{}.parquet", "{}-00000-of-00001.parquet", "data/{}-00000-of-00001.parquet", "{}/0000.parquet"]
)
@pytest.mark.parametrize("test_name", ["test", "validation", "val"])
def test_the_layouts_of_huggingface(tmp_path: Path, layout: str, test_name: str) -> None:
    huggingface(tmp_path / layout.format("train"), [0, 1, 2, 2, 1, 0])
    # Other names in another order: the ids differ, the names count.
    huggingface(tmp_path / layout.format(test_name), [0, 1, 0], ["cat", "ant"], first=100)
    data = open_data(tmp_path)
    assert data.class_names == ("ant", "bee", "cat")
    assert data.train.targets.tolist() == [0, 1, 2, 2, 1, 0]
    assert data.test.targets.tolist() == [2, 0, 2]
    assert [int(data.test.image(index)[0, 0, 0]) for index in range(3)] == [100, 101, 102]
    assert (data.image_size, data.channels, data.flip, data.hierarchy) == ((6, 5), 3, True, None)
    assert isinstance(data.train, ArraySet)


def test_shards_are_joined_in_order_and_rows_named(tmp_path: Path) -> None:
    huggingface(tmp_path / "train-00001-of-00002.parquet", [2, 2, 1], first=3)
    huggingface(tmp_path / "train-00000-of-00002.parquet", [0, 0, 1])
    huggingface(tmp_path / "test-00000-of-00001.parquet", [0])
    data = open_data(tmp_path, in_memory=False)
    assert isinstance(data.train, FileSet)
    assert data.train.targets.tolist() == [0, 0, 1, 2, 2, 1]
    assert [int(data.train.image(index)[0, 0, 0]) for index in range(6)] == list(range(6))
    assert data.train.name(4) == f"{tmp_path}/train-00001-of-00002.parquet row 1"


def test_row_groups_make_no_difference(tmp_path: Path) -> None:
    columns = {"image": images(9), "label": pa.array([0, 1, 2] * 3)}
    write(tmp_path / "train.parquet", columns, {"label": label()}, row_group_size=2)
    write(tmp_path / "test.parquet", columns, {"label": label()})
    data = open_data(tmp_path)
    assert all(np.array_equal(data.train.image(index), data.test.image(index)) for index in range(9))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_single_table_is_split(tmp_path: Path, kind: str) -> None:
    file = huggingface(tmp_path / "pictures.parquet", [0, 1, 2] * 5)
    data = open_data(file if kind == "file" else tmp_path, seed=1)
    assert (np.bincount(data.train.targets).tolist(), np.bincount(data.test.targets).tolist()) == (
        [4] * 3,
        [1] * 3,
    )
    assert "comes without test data: 20% of each class" in data.notes[0]


def test_of_test_and_validation_test_counts_unless_it_has_no_labels(tmp_path: Path) -> None:
    huggingface(tmp_path / "train.parquet", [0, 1, 2] * 2)
    huggingface(tmp_path / "validation.parquet", [2])
    huggingface(tmp_path / "test.parquet", [0, 1])
    data = open_data(tmp_path)
    assert data.test.targets.tolist() == [0, 1]
    assert data.notes == ("split 'validation' is not used: 'test' is the test data",)
    huggingface(tmp_path / "test.parquet", [-1, -1])
    data = open_data(tmp_path)
    assert data.test.targets.tolist() == [2]
    assert data.notes == ("split 'test' is not used: it has no labels",)


def test_bytes_without_a_struct_and_text_labels(tmp_path: Path) -> None:
    words = ["dog", "cat", "dog", "cat", "eel", "eel"]
    write(
        tmp_path / "train.parquet",
        {"picture": pa.array([png(i) for i in range(6)]), "species": pa.array(words)},
    )
    write(tmp_path / "test.parquet", {"picture": pa.array([png(9)]), "species": pa.array(["eel"])})
    data = open_data(tmp_path)
    assert data.class_names == ("cat", "dog", "eel")
    assert data.train.targets.tolist() == [1, 0, 1, 0, 2, 2]
    assert data.test.targets.tolist() == [2]


def test_integers_without_names_are_named_by_value(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", {"img": images(6), "label": pa.array([10, 2, 10, 2, 7, 7])})
    write(tmp_path / "test.parquet", {"img": images(2), "label": pa.array([7, 10], type=pa.int8())})
    data = open_data(tmp_path)
    assert data.class_names == ("2", "7", "10")
    assert data.test.targets.tolist() == [1, 2]


def test_a_coarse_labelling_becomes_the_hierarchy(tmp_path: Path) -> None:
    features = {
        "img": {"_type": "Image"},
        "coarse_label": label(["animal", "plant"]),
        "fine_label": label(["ant", "bee", "fir"]),
    }
    fine = pa.array([0, 1, 2, 0, 1, 2])
    for name in ("train", "test"):
        write(
            tmp_path / f"{name}.parquet",
            {"img": images(6), "coarse_label": pa.array([0, 0, 1] * 2), "fine_label": fine},
            features,
        )
    data = open_data(tmp_path)
    assert data.class_names == ("ant", "bee", "fir")
    assert data.hierarchy is not None
    assert data.hierarchy.names == ("animal", "plant")
    assert data.hierarchy.of_class.tolist() == [0, 0, 1]
    assert open_data(tmp_path, label_column="coarse_label").class_names == ("animal", "plant")


def test_a_second_labelling_that_cuts_across_is_no_hierarchy(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": label(), "night": label(["no", "yes"])}
    columns = {"image": images(6), "label": pa.array([0, 1, 2] * 2), "night": pa.array([0, 0, 0, 1, 1, 1])}
    for name in ("train", "test"):
        write(tmp_path / f"{name}.parquet", columns, features)
    assert open_data(tmp_path).hierarchy is None


@pytest.mark.parametrize(
    ("columns", "features", "message"),
    [
        (
            {"photo": images(4), "mask": images(4), "label": pa.array([0, 1, 0, 1])}, None,
            "several columns that may be images: 'photo', 'mask'; choose one with image_column",
        ),
        (
            {"image": images(4), "colour": pa.array([0, 1, 0, 1]), "shape": pa.array([0, 1, 0, 1])},
            {"colour": label(), "shape": label()},
            "several columns that may be labels: 'colour', 'shape'; choose one with label_column",
        ),
        (
            {"label": pa.array([0, 1]), "text": pa.array(["a", "b"])}, None,
            "no column of images, which are encoded bytes; its columns are 'label', 'text'",
        ),
        (
            {"image": images(2), "weight": pa.array([0.5, 1.5])}, None,
            "no column of labels, which are whole numbers or text; its columns are 'image', 'weight'",
        ),
    ],
)  # fmt: skip
def test_columns_that_are_missing_or_ambiguous_are_named(
    tmp_path: Path, columns: dict[str, pa.Array], features: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_data(write(tmp_path / "set.parquet", columns, features))


def test_a_column_can_be_chosen(tmp_path: Path) -> None:
    columns = {"photo": images(9), "mask": images(9, 50), "label": pa.array([0, 1, 2] * 3)}
    file = write(tmp_path / "set.parquet", columns)
    assert open_data(file, image_column="mask").train.image(0)[0, 0, 0] >= 50
    with pytest.raises(InputError, match="unknown column 'masks'; did you mean 'mask'"):
        open_data(file, image_column="masks")


@pytest.mark.parametrize("wrong", [-1, 3])
@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_out_of_range_are_named_with_their_row(tmp_path: Path, wrong: int, part: str) -> None:
    huggingface(tmp_path / "train.parquet", [0, 1, 2, 0, 1, 2])
    huggingface(tmp_path / "test.parquet", [0, 1, 2])
    huggingface(tmp_path / f"{part}.parquet", [0, 0, 1, 1, 2, 2, wrong])
    with pytest.raises(
        DataError, match=rf"label {wrong} of '.*{part}.parquet row 6' is none of the 3 classes 0 … 2"
    ):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pa.array([0, None, 1, 1]), "row 1 of .* has no label"),
        (pa.array([0, 1, -2, 1]), "label -2 in row 2 of .* is negative"),
        (pa.array([0.0, 1.0, 1.0, 0.0]), "no column of labels"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, labels: pa.Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data(write(tmp_path / "set.parquet", {"image": images(4), "label": labels}))


def test_categories_as_pandas_writes_them_are_labels(tmp_path: Path) -> None:
    labels = pa.array(["cat", "ant"] * 3).dictionary_encode()
    data = open_data(write(tmp_path / "set.parquet", {"image": images(6), "label": labels}))
    assert data.class_names == ("ant", "cat")


def test_a_declared_class_without_images_is_named(tmp_path: Path) -> None:
    file = huggingface(tmp_path / "set.parquet", [0, 0, 0, 2, 2, 2])
    with pytest.raises(DataError, match="class 'bee' has no image"):
        open_data(file)


def test_images_that_are_only_linked_are_refused(tmp_path: Path) -> None:
    entries = [{"bytes": png(0), "path": None}] * 3 + [{"bytes": None, "path": "/etc/passwd"}] * 3
    file = write(
        tmp_path / "set.parquet",
        {"image": pa.array(entries, type=IMAGE), "label": pa.array([0] * 3 + [1] * 3)},
    )
    with pytest.raises(
        DataError, match=r"set.parquet row 3' holds no image bytes; links to other files are not followed"
    ):
        open_data(file)


def test_broken_images_are_named_with_their_row(tmp_path: Path) -> None:
    entries = [{"bytes": b"rubbish" if number == 7 else png(number), "path": None} for number in range(12)]
    write(tmp_path / "train.parquet", {"image": pa.array(entries, type=IMAGE), "label": pa.array([0, 1] * 6)})
    write(tmp_path / "test.parquet", {"image": images(2), "label": pa.array([0, 1])})
    with pytest.raises(DataError, match=r"1 of 14 images .*\n  '.*train.parquet row 7' cannot be read"):
        open_data(tmp_path)
    assert len(open_data(tmp_path, skip_bad=True).train) == 11


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"x" * 1000])
def test_rubbish_is_no_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.parquet").write_bytes(content)
    with pytest.raises(DataError, match="set.parquet' cannot be read as a Parquet file"):
        open_data(tmp_path)


def test_a_damaged_column_is_a_named_error(tmp_path: Path) -> None:
    file = huggingface(tmp_path / "set.parquet", [0, 1, 2] * 30)
    content = bytearray(file.read_bytes())
    content[100:600] = bytes(500)
    file.write_bytes(content)
    with pytest.raises(DataError, match="set.parquet"):
        open_data(file)


def test_a_shard_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", {"image": images(4), "label": pa.array([0, 1, 0, 1])})
    write(tmp_path / "train-1.parquet", {"image": images(4)})
    with pytest.raises(
        DataError, match="train-1.parquet' lacks the column 'label' that .*train-0.parquet' has"
    ):
        open_data(tmp_path)


@pytest.mark.parametrize(
    "metadata", [b"no json", b"[]", b'{"info": 3}', b'{"info": {"features": [1]}}', b"\xff", b"[" * 100_000]
)
def test_strange_declarations_are_ignored(tmp_path: Path, metadata: bytes) -> None:
    file = write(
        tmp_path / "set.parquet", {"image": images(6), "label": pa.array([0, 1] * 3)}, metadata=metadata
    )
    assert open_data(file).class_names == ("0", "1")


def test_what_exceeds_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = huggingface(tmp_path / "set.parquet", [0, 1, 2] * 30)
    monkeypatch.setattr("os.sysconf", lambda name: 64)
    with pytest.raises(DataError, match="more than half of the memory here; unpack them to a folder"):
        open_data(file)


def test_tables_without_a_training_part_are_refused(tmp_path: Path) -> None:
    huggingface(tmp_path / "test.parquet", [0, 1])
    huggingface(tmp_path / "validation.parquet", [0, 1])
    with pytest.raises(DataError, match="no split is called 'train'; found test, validation"):
        open_data(tmp_path)


def test_the_hub_through_a_local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the extra [hf]")
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    huggingface(tmp_path / "train.parquet", [0, 1, 2] * 4)
    huggingface(tmp_path / "test.parquet", [2, 1], first=40)
    data = open_data(f"hf:{tmp_path}", in_memory=False)
    assert data.class_names == ("ant", "bee", "cat")
    assert data.test.targets.tolist() == [2, 1]
    assert data.test.image(1)[0, 0, 0] == 41
    assert data.train.image(3).shape == (6, 5, 3)
    assert data.train.image(3)[0, 0, 0] == 3
    assert data.train.name(3) == f"hf:{tmp_path}/train row 3"
    with pytest.raises(DataError, match="hf:/no/such/folder cannot be loaded"):
        open_data("hf:/no/such/folder")
