"""With which settings a run may go on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ssal.checkpoint import save_state
from ssal.config import make_settings, to_yaml
from ssal.directory import RunDirectory
from ssal.errors import InputError, RunError
from ssal.run.resume import (
    Beginnings,
    accept,
    dotted,
    load_beginnings,
    save_beginnings,
    settings_to_go_on,
)

# As they are decided when a run begins.
SETTINGS = make_settings(
    {"data": "digits", "epochs": 10, "width": 8, "precision": "32", "groups": "2,5", "time_budget": 3.0}
)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(tmp_path / "run")
    made.checkpoints.mkdir(parents=True)
    made.config.write_text(to_yaml(SETTINGS))
    return made


@pytest.fixture
def beginnings() -> Beginnings:
    return Beginnings(dotted(SETTINGS.model_dump(mode="json")), {}, "digest")


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"lr": 0.1, "data": "digits", "epochs": 10},
        {"groups": "2,5"},
        {"precision": "auto", "width": None},
        {"optimizer": {"momentum": 0.9}},
    ],
)
def test_equal_settings_may_be_given_again(
    directory: RunDirectory, beginnings: Beginnings, same: dict[str, Any]
) -> None:
    assert settings_to_go_on(directory, beginnings, [same]) == SETTINGS


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 3},
        {"devices": 2},
        {"logger": "tensorboard"},
        {"data_dir": "/elsewhere"},
        {"checkpoint": {"minutes": 1.0, "steps": 7}},
        {"epochs": 12},
    ],
)
def test_what_may_change(directory: RunDirectory, beginnings: Beginnings, change: dict[str, Any]) -> None:
    settings = settings_to_go_on(directory, beginnings, [change])
    assert settings == make_settings(yaml.safe_load(directory.config.read_text()), change) != SETTINGS


@pytest.mark.parametrize(
    ("layers", "faults"),
    [
        ([{"lr": 0.2}], ["lr was 0.1, asked 0.2"]),
        (
            [{"lr": 0.2, "batch_size": 64}, {"lr": 0.3, "optimizer": {"momentum": 0.5}}],
            [
                "lr was 0.1, asked 0.3",
                "batch_size was 128, asked 64",
                "optimizer.momentum was 0.9, asked 0.5",
            ],
        ),
        ([{"groups": "2,3"}], ["groups was 2,5, asked 2,3"]),
        ([{"seed": 1}], ["seed was 0, asked 1"]),
        ([{"epochs": 5}], ["epochs was 10, asked 5, but epochs cannot shrink"]),
    ],
)
def test_what_must_not_change_is_listed(
    directory: RunDirectory, beginnings: Beginnings, layers: list[dict[str, Any]], faults: list[str]
) -> None:
    with pytest.raises(RunError, match="was begun with other settings") as caught:
        settings_to_go_on(directory, beginnings, layers)
    for fault in faults:
        assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_settings_are_named_as_ever(directory: RunDirectory, beginnings: Beginnings) -> None:
    with pytest.raises(InputError, match="did you mean 'epochs'"):
        settings_to_go_on(directory, beginnings, [{"epoch": 3}])


def test_an_edited_configuration_is_noticed(directory: RunDirectory, beginnings: Beginnings) -> None:
    directory.config.write_text(directory.config.read_text().replace("lr: 0.1", "lr: 0.7"))
    with pytest.raises(RunError, match=r"lr was 0\.1, config\.yaml says 0\.7"):
        settings_to_go_on(directory, beginnings, [])
    directory.config.write_text(to_yaml(SETTINGS.model_copy(update={"epochs": 30, "workers": 5})))
    with pytest.raises(RunError, match=r"config\.yaml says 30: ask for more with --epochs 30"):
        settings_to_go_on(directory, beginnings, [])
    # As after a run that was killed between writing the one file and the other.
    assert settings_to_go_on(directory, beginnings, [{"epochs": 30}]).workers == 5


def test_both_trainings_must_have_as_many_epochs(directory: RunDirectory, beginnings: Beginnings) -> None:
    save_state(directory.baseline, {})
    with pytest.raises(RunError, match="asked 12, but the baseline has had its 10"):
        settings_to_go_on(directory, beginnings, [{"epochs": 12}])


@pytest.mark.parametrize("change", [{"epochs": 12}, {"epochs": 12, "baseline_epochs": "same-time"}])
def test_a_baseline_with_epochs_of_its_own_was_chosen_for_those_of_the_run(
    directory: RunDirectory, change: dict[str, Any]
) -> None:
    settings = SETTINGS.model_copy(update={"baseline_epochs": 13})
    directory.config.write_text(to_yaml(settings))
    begun = Beginnings(dotted(settings.model_dump(mode="json")), {}, "digest")
    with pytest.raises(RunError, match="asked 12, but the baseline's 13 were chosen for 10"):
        settings_to_go_on(directory, begun, [change])
    assert settings_to_go_on(directory, begun, [{"baseline_epochs": "same-time"}]) == settings


def test_an_equal_time_that_was_not_asked_for_is_a_change(
    directory: RunDirectory, beginnings: Beginnings
) -> None:
    with pytest.raises(RunError, match="baseline_epochs was None, asked same-time"):
        settings_to_go_on(directory, beginnings, [{"baseline_epochs": "same-time"}])


def test_accepted_changes_are_written_down(directory: RunDirectory, beginnings: Beginnings) -> None:
    assert accept(directory, beginnings, SETTINGS) == []
    longer = SETTINGS.model_copy(update={"epochs": 12, "devices": 2, "workers": 1})
    lines = accept(directory, beginnings, longer)
    assert len(lines) == 2 and "12 epochs instead of 10" in lines[0] and "2 devices instead of 1" in lines[1]
    kept = load_beginnings(directory.beginnings)
    assert kept == replace(beginnings, settings=dotted(longer.model_dump(mode="json")))
    assert settings_to_go_on(directory, kept, []) == longer


def test_beginnings_come_back_or_are_an_error(directory: RunDirectory, beginnings: Beginnings) -> None:
    for kept in (beginnings, replace(beginnings, threads=3)):
        save_beginnings(directory.beginnings, kept)
        assert load_beginnings(directory.beginnings) == kept
    save_beginnings(directory.beginnings, replace(beginnings, threads=0))
    with pytest.raises(RunError, match="does not say what a run was begun with"):
        load_beginnings(directory.beginnings)
    save_state(directory.beginnings, {"epochs": 3})
    with pytest.raises(RunError, match="does not say what a run was begun with"):
        load_beginnings(directory.beginnings)
    directory.beginnings.unlink()
    with pytest.raises(RunError, match="no state file"):
        load_beginnings(directory.beginnings)
