"""Laws of every parser: what is written comes back, and any text gives a value or an `SsalError`."""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ssal.branches import parse_layout
from ssal.config import Settings, make_settings, parse_assignments, read_yaml, to_yaml
from ssal.confusion import load_confusion, save_confusion
from ssal.data import ArraySet
from ssal.data.classes import align_classes
from ssal.errors import DataError, InputError, RunError, SsalError
from ssal.files import write_json
from ssal.grouping import Grouping
from ssal.run.results import read_metrics
from ssal.run.rows import as_record
from ssal.run.saved import load_model
from ssal.text import encodable, visible

from .faults.sound import sound_run

COMMON = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Texts of all kinds, lone surrogates among them.
texts = st.text(st.characters(), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def one_line(error: SsalError) -> str:
    text = str(error)
    assert text.strip() and len(text.splitlines()) == 1, text
    return text


class TestLayouts:
    numbers = st.integers(1, 64)
    map_blocks = st.one_of(
        st.tuples(numbers, st.sampled_from([1, 3, 5]), st.integers(1, 4)).map(
            lambda block: f"cbr {block[0]},{block[1]},{block[2]}"
        ),
        numbers.map(lambda filters: f"cbr {filters}"),
        st.just("cbr"),
        st.just("inception"),
    )
    flat_blocks = st.one_of(st.just("dense"), numbers.map(lambda units: f"dense {units}"))
    layouts = st.tuples(st.lists(map_blocks, max_size=3), st.lists(flat_blocks, max_size=2)).map(
        lambda parts: " | ".join([*parts[0], "gap", *parts[1]])
    )

    @COMMON
    @given(layouts, st.data())
    def test_a_layout_comes_back_from_its_own_text(self, layout: str, data: st.DataObject) -> None:
        spaces = data.draw(st.sampled_from(["|", " | ", "  |\t", "\n|\n"]))
        blocks = parse_layout(layout.replace(" | ", spaces))
        assert blocks == parse_layout(layout)
        assert parse_layout(" | ".join(map(str, blocks))) == blocks
        assert len(blocks) == layout.count("|") + 1

    @COMMON
    @given(texts | st.text("cbrgapdensincto|,. 0123456789-", max_size=40))
    def test_any_text_is_a_layout_or_is_refused(self, text: str) -> None:
        try:
            blocks = parse_layout(text)
        except InputError as error:
            assert str(error).strip()
        else:
            assert parse_layout(" | ".join(map(str, blocks))) == blocks


class TestSettings:
    keys = st.sampled_from(
        [
            *Settings.model_fields,
            "optimizer.momentum",
            "branch.weights",
            "schedule.peak",
            "augment.flip",
            "x",
            "a.b",
        ]
    )

    @COMMON
    @given(st.dictionaries(st.sampled_from([*Settings.model_fields, "unknown"]), json_values, max_size=5))
    def test_any_values_are_settings_or_all_faults_are_named(self, values: dict[str, Any]) -> None:
        try:
            made = make_settings({"data": "digits"}, values)
        except InputError as error:
            assert len(one_line(error)) < 2000
        else:
            assert "unknown" not in values
            assert made == make_settings(made.model_dump(mode="json"))

    @COMMON
    @given(
        st.fixed_dictionaries(
            {
                "data": texts.filter(lambda text: text and "\0" not in text),
                "lr": st.floats(1e-6, 100),
                "groups": st.lists(st.integers(2, 99) | st.just("all"), min_size=1, max_size=3),
                "layout": st.lists(TestLayouts.layouts, min_size=1, max_size=2),
                "taps": st.lists(st.text("layer.0123", min_size=1), min_size=1, max_size=3),
                "optimizer": st.fixed_dictionaries(
                    {
                        "name": st.sampled_from(["sgd", "adamw"]),
                        "momentum": st.floats(0, 0.99),
                        "nesterov": st.booleans(),
                    }
                ),
                "seed": st.integers(0, 2**31 - 1),
                "weights": st.none() | texts.filter(lambda text: text.strip("/.") and "\0" not in text),
            }
        )
    )
    def test_settings_come_back_from_their_yaml(self, tmp_path: Path, values: dict[str, Any]) -> None:
        made = make_settings(values)
        text = to_yaml(made)
        assert visible(text) == text
        (tmp_path / "settings.yaml").write_text(text, encoding="utf-8")
        assert make_settings(read_yaml(tmp_path / "settings.yaml")) == made

    @COMMON
    @given(st.binary(max_size=200) | texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
    def test_any_file_is_settings_or_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "settings.yaml"
        path.write_bytes(content)
        try:
            make_settings({"data": "digits"}, read_yaml(path))
        except InputError as error:
            one_line(error)

    @COMMON
    @given(json_values.filter(lambda value: value == value))
    def test_what_yaml_writes_is_read(self, tmp_path: Path, value: Any) -> None:
        """But for what is too deep, or has no place in a file."""
        path = tmp_path / "settings.yaml"
        text = yaml.safe_dump({"key": value})
        assume("\\uD" not in text and "\\ud" not in text)
        path.write_text(text)
        assert read_yaml(path) == {"key": yaml.safe_load(text)["key"]} or "nan" in text

    @COMMON
    @given(keys, texts | json_values.map(lambda value: json.dumps(value)))
    def test_any_assignment_is_a_setting_or_is_refused(self, key: str, text: str) -> None:
        try:
            make_settings({"data": "digits"}, parse_assignments([f"{key}={text}"]))
        except InputError as error:
            assert len(str(error)) < 2000

    @COMMON
    @given(st.floats(1e-6, 10), st.integers(1, 500), st.floats(0, 0.99))
    def test_an_assignment_is_what_the_file_says(self, lr: float, epochs: int, momentum: float) -> None:
        given_texts = parse_assignments(
            [f"lr={lr:f}", f"epochs={epochs}", f"optimizer.momentum={momentum:f}"]
        )
        nested = {"lr": float(f"{lr:f}"), "epochs": epochs, "optimizer": {"momentum": float(f"{momentum:f}")}}
        assert given_texts == nested


groupings = st.lists(st.integers(0, 5), min_size=1, max_size=12).map(
    lambda labels: [sorted(set(labels)).index(label) for label in labels]
)


class TestGroupings:
    @COMMON
    @given(groupings, st.data())
    def test_both_formats_return_the_same_groups(
        self, tmp_path: Path, labels: list[int], data: st.DataObject
    ) -> None:
        # Names are what data sets give: text that a file can hold.
        name = texts.map(encodable)
        names = data.draw(st.none() | st.lists(name, min_size=len(labels), max_size=len(labels)))
        grouping = Grouping.from_labels(labels, names)
        grouping.save(tmp_path / "groups.json")
        assert Grouping.load(tmp_path / "groups.json") == grouping
        assert (tmp_path / "groups.json").read_bytes().isascii()
        (tmp_path / "groups.txt").write_text("".join(f"{label}\n" for label in labels))
        assert Grouping.load(tmp_path / "groups.txt") == Grouping.from_labels(labels)

    @COMMON
    @given(json_values, st.sampled_from([".json", ".txt"]))
    def test_any_json_is_a_grouping_or_is_refused(self, tmp_path: Path, value: Any, suffix: str) -> None:
        path = tmp_path / f"groups{suffix}"
        path.write_text(json.dumps(value), encoding="ascii")
        with contextlib.suppress(DataError):
            assert isinstance(Grouping.load(path), Grouping)

    @COMMON
    @given(st.dictionaries(st.sampled_from(["format", "version", "num_classes", "groups"]), json_values))
    def test_wrong_values_under_the_right_keys_are_refused(
        self, tmp_path: Path, changed: dict[str, Any]
    ) -> None:
        groups = [{"classes": [0, 2]}, {"classes": [1]}]
        sound = {"format": "ssal-grouping", "version": 1, "num_classes": 3, "groups": groups}
        path = tmp_path / "groups.json"
        path.write_text(json.dumps(sound | changed))
        try:
            grouping = Grouping.load(path)
        except DataError as error:
            one_line(error)
        else:
            assert grouping.labels.tolist() == [0, 1, 0]


class TestClassMaps:
    names = st.lists(texts, min_size=2, max_size=8, unique=True)

    @COMMON
    @given(names, st.randoms(use_true_random=False), st.data())
    def test_classes_are_matched_by_name_in_any_order(
        self, names: list[str], random: Any, data: st.DataObject
    ) -> None:
        shuffled = random.sample(names, len(names))
        labels = data.draw(st.lists(st.integers(0, len(names) - 1), max_size=20))
        images = ArraySet(np.zeros((len(labels), 1, 1, 1), np.uint8), np.array(labels, np.int64), shuffled)
        aligned = align_classes(images, names)
        assert aligned.class_names == tuple(names)
        assert [names[label] for label in aligned.targets] == [shuffled[label] for label in labels]

    @COMMON
    @given(names, texts, st.booleans())
    def test_an_unknown_class_is_an_error_only_if_an_image_has_it(
        self, names: list[str], other: str, is_used: bool
    ) -> None:
        assume(other not in names)
        labels = [0, len(names)] if is_used else [0]
        images = ArraySet(np.zeros((len(labels), 1, 1, 1), np.uint8), labels, [*names, other])
        if is_used:
            with pytest.raises(DataError) as caught:
                align_classes(images, names)
            assert repr(other) in one_line(caught.value)
        else:
            assert align_classes(images, names).targets.tolist() == [0]


class TestConfusionFiles:
    matrices = st.integers(1, 6).flatmap(
        lambda size: arrays.arrays(np.float64, (size, size), elements=st.floats(0, 1e6))
    )

    @COMMON
    @given(matrices, st.data())
    def test_a_matrix_comes_back_from_its_file(
        self, tmp_path: Path, matrix: np.ndarray, data: st.DataObject
    ) -> None:
        # numpy's texts drop NULs at their end.
        name = texts.map(encodable).filter(lambda text: not text.endswith("\0"))
        names = data.draw(st.none() | st.lists(name, min_size=len(matrix), max_size=len(matrix)))
        save_confusion(tmp_path / "confusion.npz", matrix, names)
        loaded, found = load_confusion(tmp_path / "confusion.npz")
        assert np.array_equal(loaded, matrix) and found == (None if names is None else tuple(names))
        np.save(tmp_path / "confusion.npy", matrix)
        assert np.array_equal(load_confusion(tmp_path / "confusion.npy")[0], matrix)
        rows = "\n".join(",".join(map(repr, row.tolist())) for row in matrix)
        (tmp_path / "confusion.csv").write_text(rows)
        assert np.array_equal(load_confusion(tmp_path / "confusion.csv")[0], matrix)

    @COMMON
    @given(st.text('0123456789.,e-+ \n"naif\r\t;', max_size=60) | texts)
    def test_any_table_is_a_confusion_matrix_or_is_refused(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "confusion.csv"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            matrix, _ = load_confusion(path)
        except DataError as error:
            one_line(error)
        else:
            assert matrix.shape[0] == matrix.shape[1] and matrix.min() >= 0


class TestRuns:
    SOUND = sound_run()
    CONFIG = json.loads(SOUND["model/config.json"])

    @COMMON
    @given(st.data())
    def test_any_description_is_a_model_or_is_refused(self, tmp_path: Path, data: st.DataObject) -> None:
        config = {key: value for key, value in self.CONFIG.items() if key != "checksum"}
        key = data.draw(st.sampled_from(sorted(config)))
        if isinstance(config[key], dict) and data.draw(st.booleans()):
            inner = data.draw(st.sampled_from(sorted(config[key])))
            config[key] = config[key] | {inner: data.draw(json_values)}
        else:
            config[key] = data.draw(json_values)
        (tmp_path / "model.safetensors").write_bytes(self.SOUND["model/model.safetensors"])
        (tmp_path / "config.json").write_text(json.dumps(config))
        try:
            model = load_model(tmp_path)
        except RunError as error:
            one_line(error)
        else:
            assert len(model.class_names) == 4 and all(exponent >= 0 for exponent in model.exponents.branches)

    @COMMON
    @given(json_values)
    def test_any_metrics_are_shown_or_refused(self, tmp_path: Path, value: Any) -> None:
        (tmp_path / "metrics.json").write_text(json.dumps(value))
        with pytest.raises(RunError):
            read_metrics(tmp_path / "metrics.json")

    @COMMON
    @given(json_values.filter(lambda value: "nan" not in repr(value) and "inf" not in repr(value)))
    def test_json_of_ours_is_strict_and_plain(self, tmp_path: Path, value: Any) -> None:
        path = tmp_path / "value.json"
        write_json(path, value)
        text = path.read_text(encoding="utf-8")
        assert visible(text) == text
        again = json.loads(text)
        json.dumps(again, ensure_ascii=False).encode("utf-8")
        assert json.dumps(again) == json.dumps(_encodable(value))

    @COMMON
    @given(texts)
    def test_errors_in_rows_can_be_encoded(self, text: str) -> None:
        record = as_record(Path("x" + text.replace("\0", "")), DataError(text))
        json.dumps(record, ensure_ascii=False).encode("utf-8")


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
