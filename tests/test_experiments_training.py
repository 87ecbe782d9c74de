"""What determines a trained network, and its digest."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssal.config import Settings, make_settings
from ssal.errors import InputError
from ssal.experiments.training import _DETERMINING, _DISTILLED, _GATHERED, _OPERATIONAL, Training  # pyright: ignore


def training(**values: object) -> Training:
    return Training(make_settings({"data": "digits", **values}), "ssal")


def test_the_digest_does_not_change_from_day_to_day() -> None:
    # A change here throws away all results that people have: raise the format number on purpose only.
    given = Training(make_settings({"data": "digits", "epochs": 3, "width": 8}))
    assert given.digest == "3ed3c22f0641bfd6"


@given(st.permutations(["epochs", "lr", "width", "seed"]))
@settings(max_examples=10, deadline=None)
def test_the_order_of_keys_does_not_count(keys: list[str]) -> None:
    values = {"epochs": 3, "lr": 0.05, "width": 8, "seed": 4}
    assert training(**{key: values[key] for key in keys}).digest == training(**values).digest


@pytest.mark.parametrize(
    "other",
    [
        {"epochs": 4},
        {"seed": 1},
        {"optimizer": {"momentum": 0.8}},
        {"optimizer": {"name": "adamw", "weight_decay": 5e-4}, "lr": 0.1},
        {"groups": [2, 5]},
        {"images_per_class": 10},
        {"augment": {"shift": 1}},
    ],
)
def test_what_counts(other: dict[str, object]) -> None:
    assert training(**{"epochs": 3, **other}).digest != training(epochs=3).digest


def test_what_does_not_count(tmp_path: Path) -> None:
    assert training(data_dir=tmp_path, workers=3, logger="tensorboard").digest == training().digest
    assert Training(training().settings, "ssal", keep_weights=True).digest == training().digest


def test_method_options_and_baseline_count() -> None:
    made = training().settings
    digests = {
        Training(made, "ssal").digest,
        Training(made, "catfc").digest,
        Training(made, "catfc", {"units": 3}).digest,
        Training(made, "ssal", groups_from="a").digest,
        Training(made, "ssal", groups_from="b").digest,
    }
    assert len(digests) == 5


def test_loss_weights_count_whether_they_are_given_or_not() -> None:
    def of(groups: list[int | str], *weights: float) -> str:
        given = {"branch": {"weights": weights}} if weights else {}
        return Training(make_settings({"data": "digits", "groups": groups, **given}), "ssal").digest

    assert of([2, 5]) == of([2, 5], 0.5) != of([2, 5], 0.4)
    assert of(["all", "fused"]) == of(["all", "fused"], 0.5, 1.0) != of(["all", "fused"], 0.5)
    assert training(groups="auto").digest


def test_the_time_that_is_taken_counts() -> None:
    plain = Training(training().settings)
    timed = replace(plain, same_time_as="a", counted_in="b")
    others = [replace(timed, time_share=0.5), replace(timed, counted_in="c")]
    assert len({made.digest for made in (plain, timed, *others)}) == 4
    assert Training.from_json(json.loads(json.dumps(timed.to_json()))) == timed


def test_branches_do_not_count_in_a_baseline() -> None:
    plain, other = (
        Training(make_settings({"data": "digits", **values}))
        for values in ({}, {"groups": [2], "taps": ["layer1"], "criterion": "split"})
    )
    assert plain.digest == other.digest


def test_how_groups_are_gathered_counts_only_where_they_are() -> None:
    kept = training(groups_from="baseline", gathering={"start": 0.5})
    assert kept.digest == training(groups_from="baseline").digest and _GATHERED.isdisjoint(
        kept.describe()["settings"]
    )
    digests = {
        training(groups_from="training", **values).digest
        for values in ({}, {"gathering": {"start": 0.5}}, {"gathering": {"memory": 2.0}})
    }
    assert len(digests | {kept.digest}) == 4


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("0\n1\n", encoding="utf-8")
    two.write_text("0\n1\n", encoding="utf-8")
    first = training(groups=[str(one)]).digest
    assert training(groups=[str(two)]).digest == first
    two.write_text("1\n0\n", encoding="utf-8")
    assert training(groups=[str(two)]).digest != first
    with pytest.raises(InputError, match=r"cannot read .*three\.txt"):
        _ = training(groups=[str(tmp_path / "three.txt")]).digest


def test_every_setting_is_sorted_into_one_of_the_lists_or_unset_by_default() -> None:
    others = set(Settings.model_fields) - _DETERMINING - _OPERATIONAL - _GATHERED - _DISTILLED
    assert {name for name in others if Settings.model_fields[name].default is not None} == set()
    assert set(Settings.model_fields) >= _DETERMINING | _OPERATIONAL


def test_through_json_and_back() -> None:
    made = Training(
        training(epochs=3, branch={"exponents": [0.3]}).settings, "catfc", {"units": 8}, "abc", True
    )
    again = Training.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    assert again.digest == made.digest
