import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssal.config import make_settings, parse_assignments, read_yaml, to_yaml
from ssal.errors import InputError, SsalError


def test_layers_win_in_order(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("data: digits\nepochs: 3\nlr: 0.5\noptimizer:\n  momentum: 0.5\n  nesterov: false\n")
    assigned = parse_assignments(["optimizer.momentum=0.7"])
    made = make_settings(read_yaml(file), {"epochs": 4, "lr": 0.2}, assigned)
    assert (made.data, made.epochs, made.lr) == ("digits", 4, 0.2)
    assert (made.optimizer.momentum, made.optimizer.nesterov) == (0.7, False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": None}, "groups: input should be a list or 'auto' (given: None)"),
        ({"groups": 2.5}, "groups: input should be a valid integer or a valid string or 'auto' (given: 2.5)"),
        ({"taps": 3}, "taps: input should be 'auto' or a valid string (given: 3)"),
        (
            {"branch": {"exponents": -1}},
            "branch.exponents: input should be 'fit' or greater than or equal to 0",
        ),
        ({"branch": {"weights": [1, -1]}}, "branch.weights: input should be greater than or equal to 0"),
        ({"layout": 3}, "layout: input should be a list (given: 3)"),
        ({"data": ""}, "data: an empty name; name a data set, a folder"),
    ],
)
def test_all_that_a_setting_may_be_is_said(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        make_settings({"data": "x", **settings})
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_what_is_unset_follows_the_optimiser() -> None:
    def chosen(**settings: object) -> tuple[float, float]:
        made = make_settings({"data": "x", **settings})
        return made.lr, made.optimizer.weight_decay

    assert chosen() == chosen(optimizer={"momentum": 0.5}) == (0.1, 5e-4)
    assert chosen(optimizer={"name": "adamw"}) == (1e-3, 0.05)
    assert chosen(optimizer={"name": "adamw", "weight_decay": 0.2}, lr=3e-4) == (3e-4, 0.2)
    # What waits for a setting with a fault is none of its own.
    with pytest.raises(
        InputError,
        match=r"^optimizer\.name: [^;]*'sgd' or 'adamw' \(given: 'adam'\); did you mean 'adamw'\?$",
    ):
        make_settings({"data": "x", "optimizer": {"name": "adam"}})


def test_settings_come_back_from_their_own_yaml(tmp_path: Path) -> None:
    made = make_settings(
        {
            "data": "x",
            "groups": "20,all,own.json",
            "taps": "layer1,layer2,layer3",
            "layout": "cbr 8 | gap; light; cbr | inception | gap",
            "branch": {"weights": "0.42,0.59,0.76", "exponents": 0.3},
            "precision": 32,
            "data_dir": "some/where",
        }
    )
    (tmp_path / "settings.yaml").write_text(to_yaml(made))
    assert make_settings(read_yaml(tmp_path / "settings.yaml")) == made
    assert made.groups == (20, "all", "own.json")
    assert made.branch.weights == (0.42, 0.59, 0.76)
    assert made.layout == ("cbr 8 | gap", "light", "cbr | inception | gap")


def test_all_faults_are_reported_together() -> None:
    with pytest.raises(InputError) as caught:
        make_settings({"data": "x", "lr": -1, "epocs": 3, "optimizer": {"momentun": 1}, "criterion": "jion"})
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1000
    assert "lr: input should be greater than 0 (given: -1)" in text
    assert "unknown setting 'epocs'; did you mean 'epochs'?" in text
    assert "did you mean 'optimizer.momentum'?" in text
    assert "criterion: input should be 'join' or 'split' (given: 'jion'); did you mean 'join'?" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "data is missing"),
        ({"data": "x", "groups": "20,many"}, "'many' is no number, not 'all', 'superclasses' or 'fused'"),
        ({"data": "x", "groups": ""}, "at least one number of groups"),
        ({"data": "x", "holdout": 1.0}, "holdout: input should be less than 1"),
        ({"data": "x", "lr": float("nan")}, "lr: "),
        ({"data": "x", "logger": "csv,tensorbord"}, "logger: "),
        ({"data": "x", "optimizer": 3}, "optimizer: "),
    ],
)
def test_each_fault_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_settings(settings)


@pytest.mark.parametrize("text", ["lr", "=3", "a..b=1", ".a=1", "lr=[1"])
def test_assignments_need_key_and_value(text: str) -> None:
    with pytest.raises(InputError, match="--set"):
        parse_assignments([text])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("data: [unclosed", "no valid YAML"),
        ("- just\n- a list", "'key: value' lines"),
        ("a: !!python/object/apply:os.system ['true']", "no valid YAML"),
        ("a: &x [1]\nb: *x", "aliases are not allowed"),
        ("a: " + "[" * 2000, "nested deeper"),
        ("a: !!int ''", "tags are not allowed"),
        ("a: 2024-99-99", "month must be"),
        ("1: 2", "'key: value' lines"),
    ],
)
def test_hostile_yaml_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "s.yaml").write_text(content)
    with pytest.raises(InputError, match=message):
        read_yaml(tmp_path / "s.yaml")


def test_files_that_cannot_be_settings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read settings"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "large.yaml").write_text("a: 1\n" * 300_000)
    with pytest.raises(InputError, match="larger than 256 KB"):
        read_yaml(tmp_path / "large.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no valid YAML"):
        read_yaml(tmp_path / "binary.yaml")
    (tmp_path / "empty.yaml").write_text("")
    assert read_yaml(tmp_path / "empty.yaml") == {}


@given(st.text(max_size=30))
def test_any_assignment_parses_or_is_refused(text: str) -> None:
    try:
        made = parse_assignments([text])
    except SsalError:
        return
    assert made


def test_the_page_of_settings_has_them_all_with_their_defaults() -> None:
    page = (Path(__file__).parent.parent / "docs" / "settings.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([\w.]+)` \| (\S+) \|", page, flags=re.MULTILINE))

    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in values.items():
            found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        return found

    def shown(value: object) -> str:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yaml_words = {"None": "null", "True": "true", "False": "false"}
        return f"`{yaml_words.get(text, text)}`"

    settings = flat(make_settings({"data": "x"}).model_dump(mode="json"))
    assert told == {key: shown(value) for key, value in settings.items()} | {"data": "–"}
