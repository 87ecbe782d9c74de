"""Runs of one training, which finds its groups itself."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from ssal.config import make_settings
from ssal.confusion import load_confusion
from ssal.grouping import Grouping, group_classes
from ssal.interrupts import Interrupted
from ssal.report import write_report
from ssal.run import describe_plan, evaluate_run, resume_training, start_training, train
from ssal.run.saved import load_model

SETTINGS = {
    "data": "digits", "model": "resnet18_cifar", "width": 4, "epochs": 2, "groups": (2, "all"), "lr": 0.05,
    "baseline": False, "precision": "32", "explanation_images": 0, "workers": 0,
}  # fmt: skip


def silent(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(**SETTINGS, out=tmp_path_factory.mktemp("once") / "run", echo=silent).path


def test_the_groups_are_those_of_the_confusion_that_was_gathered(run: Path) -> None:
    confusion, names = load_confusion(run / "confusion.npz")
    groupings = [spec.grouping for spec in load_model(run / "model").model.specs]
    assert groupings == [group_classes(confusion, 2, class_names=names), Grouping.identity(10, names)]
    kept = {Grouping.load(path).num_groups: Grouping.load(path) for path in (run / "groups").iterdir()}
    assert kept == {grouping.num_groups: grouping for grouping in groupings}


def test_there_is_no_baseline_and_no_word_of_one(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    for part in (metrics, metrics["params"], metrics["flops"], metrics["seconds"]):
        assert "baseline" not in part and part["JP"]
    assert metrics["JP"]["top1"] > 20 and metrics["seconds"]["TR"] > 0
    assert not list((run / "checkpoints").glob("baseline*"))
    table = evaluate_run(run)
    assert "JP" in table and "baseline" not in table.split("\n\n")[0]
    page = write_report(run).read_text(encoding="utf-8")
    written = re.sub(r"<style.*?</style>|<svg.*?</svg>", "", page, flags=re.DOTALL)
    said = re.sub(r"<[^>]*>", "", written)
    # The settings, which are shown as a list and as they are in the file, say that there is none.
    assert "baseline: false" in said
    for setting in ("baseline: false", "baselineno", "baseline_epochs: null", "baseline_epochs–"):
        said = said.replace(setting, "")
    assert "baseline" not in said, said[said.index("baseline") - 40 :][:80]


def test_going_on_gives_the_same_groups_and_weights(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def stop_after_the_first(line: str) -> None:
        if line.startswith("joint 1/2"):
            raise Interrupted(15, "stopped")

    with pytest.raises(Interrupted):
        start_training(make_settings(SETTINGS), out, echo=stop_after_the_first)
    resume_training(out, echo=silent)
    ours, theirs = (load_model(path / "model").model for path in (out, run))
    assert [spec.grouping for spec in ours.specs] == [spec.grouping for spec in theirs.specs]
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def test_a_run_that_has_lost_its_metrics_has_its_groups_still(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    for name in ("metrics.json", "groups", "model"):
        path = tmp_path / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = resume_training(tmp_path / "run", echo=silent)
    ours, theirs = (load_model(path / "model").model for path in (tmp_path / "run", run))
    assert [spec.grouping for spec in ours.specs] == [spec.grouping for spec in theirs.specs]
    kept = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert done.metrics["JP"] == pytest.approx(kept["JP"]) and done.metrics["branches"] == kept["branches"]


@pytest.mark.parametrize(("epochs", "batch_size"), [(1, 1000), (1, 700), (2, 1000)])
def test_branches_learn_groups_that_are_found_however_short_the_training(
    tmp_path: Path, epochs: int, batch_size: int
) -> None:
    short = {**SETTINGS, "epochs": epochs, "batch_size": batch_size}
    path = train(**short, out=tmp_path / "run", echo=silent).path
    confusion, names = load_confusion(path / "confusion.npz")
    first = load_model(path / "model").model.specs[0].grouping
    assert first == group_classes(confusion, 2, class_names=names) and first.class_names == names


def test_groups_that_need_no_confusion_begin_at_once(tmp_path: Path) -> None:
    done = train(**{**SETTINGS, "groups": ("all",), "epochs": 1}, out=tmp_path / "run", echo=silent)
    assert not (done.path / "confusion.npz").exists()
    [path] = (done.path / "groups").iterdir()
    assert Grouping.load(path).num_groups == 10 and done.metrics["branches"][0]["top1"] > 12


def test_the_plan_speaks_of_one_training() -> None:
    text = describe_plan(make_settings(SETTINGS))
    assert "baseline" not in text and text.splitlines()[-2].endswith("minutes for 2 epochs joint")
    both = describe_plan(make_settings(SETTINGS, {"baseline": True, "baseline_epochs": 5}))
    assert both.splitlines()[-2].endswith("minutes for 5 epochs baseline and 2 epochs joint")


def test_the_maps_of_groups_behind_a_fused_branch_are_checked(tmp_path: Path) -> None:
    """They lose their weights with those of all branches that the fused one reads, several at a time."""
    settings = {
        "data": "digits",
        "images_per_class": 20,
        "width": 8,
        "epochs": 1,
        "groups": "5,all,2+fused",
        "layout": "cbr 8 | gap; cbr 8 | cbr 8 | gap; light",
        "baseline": False,
        "precision": "32",
        "explanation_images": 4,
    }
    run = start_training(make_settings(settings), tmp_path / "run")
    checks = json.loads((run.path / "eval" / "explanations.json").read_text())
    assert json.dumps(checks).count("block 1") > 1
