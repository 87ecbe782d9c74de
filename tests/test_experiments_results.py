"""Rows against direct computation on the stored outputs; tables, summaries and plots made of them."""

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from ssal.errors import InputError, RunError
from ssal.experiments.measure import (
    ensemble_metrics,
    held_out,
    joint_metrics,
    standard_metrics,
    standard_ways,
)
from ssal.experiments.outcome import show
from ssal.experiments.plan import Cell, Reproduction, plan_cells
from ssal.experiments.plots import Line, Point, draw_panels, line_style, panel_lines, row_lines
from ssal.experiments.reading import parse_experiment
from ssal.experiments.results import RowResult, column, measure_rows
from ssal.experiments.shown import Panel, Row
from ssal.experiments.store import RESULT, Part, Store, unpack_outputs, write_outputs
from ssal.experiments.summary import paired_difference, summarise_values
from ssal.experiments.table import as_csv, as_markdown, as_text, as_values, failures
from ssal.files import write_json
from ssal.joint import LinearCombination, Outputs, fit_exponents, joint_log_prob
from ssal.metrics import reliability, summarise, top_k_accuracy

CLASSES = 6
LABELS = [torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 0, 1])]


def part(seed: int, count: int, labels: list[torch.Tensor] = LABELS) -> Part:
    random = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % CLASSES
    main = torch.randn(count, CLASSES, generator=random)
    main[torch.arange(count), targets] += 1.0
    groups: list[torch.Tensor] = []
    for label in labels:
        logits = torch.randn(count, int(label.max()) + 1, generator=random)
        logits[torch.arange(count), label[targets]] += 1.5
        groups.append(logits)
    return Part(Outputs(main, tuple(groups)), targets)


def parts(seed: int, labels: list[torch.Tensor] = LABELS) -> dict[str, Part]:
    names = {"heldout": 60, "calibration": 48, "test": 90}
    return {name: part(10 * seed + place, count, labels) for place, (name, count) in enumerate(names.items())}


def test_standard_metrics_are_those_of_the_joint_prediction() -> None:
    given = parts(1)
    found = standard_metrics(given, LABELS)
    test, seen = given["test"], held_out(given)
    assert len(seen.targets) == 108, "both parts that nothing was trained on"
    exponents = fit_exponents(seen.outputs, seen.targets, LABELS, 3.0)
    expected = {
        "main": torch.log_softmax(test.outputs.main, dim=1),
        "JP1": joint_log_prob(test.outputs, LABELS, [1.0, 1.0]),
        "JP": joint_log_prob(test.outputs, LABELS, exponents.branches, exponents.main),
        "LC": LinearCombination.fit(seen.outputs, seen.targets).log_prob(test.outputs),
    }
    assert found["ways"] == {way: summarise(scores, test.targets) for way, scores in expected.items()}
    assert found["exponents"] == {"main": exponents.main, "branches": list(exponents.branches)}
    for way, scores in expected.items():
        right = (scores.argmax(dim=1) == test.targets).numpy()
        auroc = roc_auc_score(right, scores.max(dim=1).values.numpy())
        assert found["error_detection"][way] == pytest.approx(auroc)
        bins = found["calibration"][way]["reliability"]
        assert sum(bins["count"]) == 90 and found["calibration"][way]["ece"] == found["ways"][way]["ece"]
    winners = expected["JP"].argmax(dim=1)
    agreeing = sum(
        (logits.argmax(dim=1) == label[winners]).int()
        for logits, label in zip(test.outputs.groups, LABELS, strict=True)
    )
    for number, level in enumerate(found["agreement"]):
        chosen = agreeing == number
        assert level["samples"] == int(chosen.sum())
        assert level["right"] == int((winners == test.targets)[chosen].sum())
    assert len(found["agreement"]) == 3
    for accuracy, logits, label in zip(found["branches"], test.outputs.groups, LABELS, strict=True):
        right = (logits.argmax(dim=1) == label[test.targets]).double().mean()
        assert accuracy == pytest.approx(100 * float(right))


def test_a_network_without_branches_has_one_way() -> None:
    found = standard_metrics(parts(1, []), [])
    assert list(found["ways"]) == ["main"] and found["branches"] == [] and found["exponents"] == {}
    assert found["agreement"] == []


def test_given_exponents() -> None:
    test = part(3, 90)
    scores = joint_log_prob(test.outputs, LABELS, [0.3, 0.3])
    found = joint_metrics(test, LABELS, [0.3])
    assert {key: found[key] for key in ("top1", "top5", "nll", "ece")} == summarise(scores, test.targets)
    right = (scores.argmax(dim=1) == test.targets).numpy()
    assert found["auroc"] == pytest.approx(roc_auc_score(right, scores.max(dim=1).values.numpy()))
    assert joint_metrics(test, LABELS, [0.0])["top1"] == top_k_accuracy(test.outputs.main, test.targets)
    with pytest.raises(InputError, match="3 exponents for 2 branches"):
        joint_metrics(test, LABELS, [1.0, 1.0, 1.0])


def test_an_ensemble_is_the_mean_of_probabilities() -> None:
    one, two = part(3, 90), part(4, 90)
    mean = (one.outputs.main.softmax(dim=1) + two.outputs.main.softmax(dim=1)) / 2
    expected = summarise(mean.log(), one.targets)
    found = ensemble_metrics([one, two])
    right = (mean.argmax(dim=1) == one.targets).numpy()
    auroc = roc_auc_score(right, mean.max(dim=1).values.numpy())
    assert found == pytest.approx(expected | {"auroc": auroc}, rel=1e-5)
    alone = summarise(torch.log_softmax(one.outputs.main, dim=1), one.targets)
    same = ensemble_metrics([one, one])
    assert {key: same[key] for key in alone} == pytest.approx(alone, rel=1e-5)


def test_outputs_through_a_file_and_back(tmp_path: Path) -> None:
    given = parts(2)
    write_outputs(tmp_path, given)
    from safetensors.torch import load_file

    found = unpack_outputs(load_file(tmp_path / "outputs.safetensors"))
    assert found.keys() == given.keys()
    for name, expected in given.items():
        assert torch.equal(found[name].targets, expected.targets)
        for ours, theirs in zip(
            (found[name].outputs.main, *found[name].outputs.groups),
            (expected.outputs.main, *expected.outputs.groups),
            strict=True,
        ):
            assert torch.equal(ours, theirs)


POINT = {"panel": "a", "line": "l"}
CONTENT: dict[str, Any] = {
    "title": "trial",
    "source": "Table 0",
    "same": "all",
    "differs": "nothing",
    "scales": {"smoke": {"seeds": 2, "settings": {"data": "digits"}, "notes": "small"}},
    "trainings": {
        "plain": {},
        "other": {"settings": {"lr": 0.3}},
        "branches": {"method": "ssal", "groups_from": "plain"},
    },
    "rows": [
        {
            "label": "plain",
            "training": "plain",
            "way": "baseline",
            "published": {"top1": 50, "parameters": 1},
        },
        {"label": "both | =1+1", "ensemble": ["plain", "other"], "way": "baseline", "reference": "plain"},
        {"label": "TR", "training": "branches", "way": "TR", "reference": "plain"},
        {
            "label": "JP 1",
            "training": "branches",
            "way": "JP",
            "exponents": 1,
            "panel": "a",
            "line": "l",
            "x": 1,
        },
        {"label": "JP", "training": "branches", "way": "JP", "panel": "a", "line": "l", "x": 2},
        {"label": "JP 0.3", "training": "branches", "way": "JP", "exponents": 0.3},
        {"label": "LC", "training": "branches", "way": "LC"},
        {"label": "second branch", "training": "branches", "way": "branch", "branch": 1},
    ],
    "panels": {
        "a": {"title": "rows $x", "x": "x"},
        "b": {"title": "curves", "x": "epoch", "curves": [{"label": "c", "training": "plain"}]},
        "c": {"title": "time", "x": "minutes", "measured": "seconds", "lines": {"l": ["plain", "JP"]}},
        "f": {"title": "compared", "x": "time", "measured": "time", "lines": {"l": ["plain", "JP"]}},
        "d": {"title": "errors", "x": "x", "value": "auroc", "lines": {"l": ["JP 1", "JP"]}},
        "e": {
            "title": "sure",
            "x": "%",
            "reliability": [{"label": "r", "training": "branches", "way": "JP"}],
        },
    },
    "measures": ["auroc"],
    "time_unit": "plain",
}


def finish(
    store: Store,
    cell: Cell,
    seed: int,
    environment: Mapping[str, str] = MappingProxyType({}),
    yardstick: float | None = None,
) -> None:
    """Write what a training leaves, with outputs drawn from a seed."""
    labels = [] if cell.name != "branches" else LABELS
    given = parts(seed, labels)
    result = {
        "training": cell.training.describe(),
        "data": "drawn",
        "environment": dict(environment),
        "seconds": {"training": 10.0, "grouping": 1.0, "confusion": 2.0},
        "images_per_second": 1.0,
        "whole": {"parameters": 2_000_000, "flops": 3_000_000},
        "main": {"parameters": 1_000_000, "flops": 1_500_000},
        "groupings": [{"labels": label.tolist()} for label in labels],
        "metrics": standard_metrics(given, labels),
        "curve": [{"epoch": epoch, "val_top1": 10.0 * epoch + cell.seed} for epoch in (1, 2)],
    } | ({} if yardstick is None else {"yardstick": yardstick})

    def fill(folder: Path) -> None:
        write_outputs(folder, given)
        write_json(folder / RESULT, result)

    store.write(cell.digest, fill)


@pytest.fixture
def plan(tmp_path: Path) -> Reproduction:
    experiment = parse_experiment(CONTENT, "trial")
    cells = plan_cells(experiment, "smoke", [0, 1])
    return Reproduction("trial", experiment, "smoke", cells, Store(tmp_path / "out"))


def rows_of(plan: Reproduction) -> dict[str, RowResult]:
    return {result.row.label: result for result in measure_rows(plan.experiment, plan.cells, plan.store)}


def test_rows_are_measured_on_the_stored_outputs(plan: Reproduction) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number)
    rows = rows_of(plan)
    drawn = {(cell.name, cell.seed): number for number, cell in enumerate(plan.cells)}
    for seed in (0, 1):
        branches, plain = parts(drawn["branches", seed]), parts(drawn["plain", seed], [])["test"]
        standard = standard_metrics(branches, LABELS)["ways"]
        assert rows["plain"].by_seed[seed]["top1"] == top_k_accuracy(plain.outputs.main, plain.targets)
        for label, way in (("TR", "main"), ("JP 1", "JP1"), ("JP", "JP"), ("LC", "LC")):
            values = rows[label].by_seed[seed]
            assert {key: values[key] for key in standard[way]} == pytest.approx(standard[way])
        weak = joint_metrics(branches["test"], LABELS, [0.3])
        assert rows["JP 0.3"].by_seed[seed]["nll"] == pytest.approx(weak["nll"])
        logits = branches["test"].outputs.groups[1]
        expected = top_k_accuracy(logits, LABELS[1][branches["test"].targets])
        assert rows["second branch"].by_seed[seed]["top1"] == expected
        other = parts(drawn["other", seed], [])["test"]
        assert rows["both | =1+1"].by_seed[seed]["nll"] == ensemble_metrics([plain, other])["nll"]


def test_costs_of_a_row(plan: Reproduction) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number)
    rows = rows_of(plan)
    assert column(rows["plain"], "seconds") == {0: 10.0, 1: 10.0}
    assert column(rows["JP"], "seconds")[0] == 10 + 1 + 10 + 2, "the groups cost a baseline and its confusion"
    assert column(rows["both | =1+1"], "seconds")[0] == 20
    assert column(rows["TR"], "parameters")[0] == 1_000_000, "the branches are not needed to predict"
    assert column(rows["JP"], "parameters")[0] == 2_000_000
    assert column(rows["both | =1+1"], "parameters")[0] == 4_000_000
    assert column(rows["LC"], "parameters")[0] == 2_000_000 + CLASSES * (1 + CLASSES + 3 + 2)
    assert column(rows["JP"], "flops")[0] == 3_000_000
    assert [column(rows[label], "branches")[0] for label in ("plain", "JP")] == [0, 2]


def test_groups_that_are_read_off_a_branch_are_no_further_one(plan: Reproduction) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number)
        file = plan.store.root / "trainings" / cell.digest / RESULT
        result = json.loads(file.read_text(encoding="utf-8"))
        if cell.name == "branches":
            result["training"]["settings"]["groups"] = ["all+3"]
        write_json(file, result)
    assert column(rows_of(plan)["JP"], "branches")[0] == 1


@pytest.mark.parametrize(
    ("source", "branches", "compared"),
    [
        ({"commit": "a"}, {"commit": "a"}, True),
        ({"commit": "a"}, {"commit": "b"}, False),
        ({"commit": "a", "processor": "x, AVX2"}, {"commit": "b", "processor": "x, AVX2"}, True),
        ({"commit": "a", "processor": "x, AVX2"}, {"commit": "a", "processor": "x, AVX512"}, False),
        ({"commit": "a"}, {"commit": "a", "processor": "x, AVX2"}, False),
    ],
)
def test_times_are_compared_on_one_machine_only(
    plan: Reproduction, source: dict[str, str], branches: dict[str, str], compared: bool
) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number, branches if cell.name == "branches" and cell.seed else source)
    rows = rows_of(plan)
    assert column(rows["plain"], "time") == {0: 1.0, 1: 1.0}
    assert column(rows["JP"], "time") == ({0: 2.3, 1: 2.3} if compared else {0: 2.3})
    [line] = row_lines("f", plan.experiment.panels["f"], list(rows.values()))
    assert [point.x for point in line.points] == pytest.approx([1.0, 2.3])


def test_times_of_different_machines_are_put_into_those_of_a_yardstick(plan: Reproduction) -> None:
    for number, cell in enumerate(plan.cells):
        machine, yardstick = ("slow", 0.5) if cell.name == "branches" else ("fast", 0.25)
        finish(plan.store, cell, number, {"processor": machine}, yardstick)
    rows = rows_of(plan)
    assert column(rows["plain"], "time") == {0: 1.0, 1: 1.0}
    expected = (10 + 1) / 2 / 10 + (10 + 2) / 10
    assert column(rows["JP"], "time") == pytest.approx({0: expected, 1: expected})
    assert column(rows["JP"], "seconds") == {0: 23.0, 1: 23.0}, "seconds stay what they are"


def test_times_of_one_machine_are_compared_as_they_are(plan: Reproduction) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number, {"processor": "x"}, 0.5 if cell.name == "branches" else 0.25)
    assert column(rows_of(plan)["JP"], "time") == {0: 2.3, 1: 2.3}


def test_times_without_a_unit_are_not_compared(plan: Reproduction) -> None:
    for cell in plan.cells:
        finish(plan.store, cell, 0)
    plain = plan.experiment.model_copy(update={"time_unit": None})
    results = measure_rows(plain, plan.cells, plan.store)
    assert all(not column(result, "time") for result in results)
    assert not row_lines("f", plain.panels["f"], results), "no places, no line"


def test_what_is_not_there_yet(plan: Reproduction) -> None:
    first = [cell for cell in plan.cells if cell.seed == 0]
    for cell in first[:2]:
        finish(plan.store, cell, 0)
    plan.store.write_error(next(cell.digest for cell in first if cell.name == "branches"), "it broke", "")
    rows = rows_of(plan)
    assert list(rows["plain"].by_seed) == [0] and rows["plain"].missing == {1: "waiting"}
    assert rows["JP"].by_seed == {} and rows["JP"].missing[0] == "it broke"
    text = as_text(list(rows.values()))
    assert "failed" in text and "1/2" in text
    assert "JP: it broke" in failures(list(rows.values()))


def test_a_failed_baseline_is_the_error_of_those_that_need_it(plan: Reproduction) -> None:
    plan.store.write_error(plan.cells[0].digest, "no data", "")
    assert rows_of(plan)["JP"].missing[0] == "no data"


def test_rows_of_trainings_that_were_not_chosen_are_left_out(plan: Reproduction) -> None:
    chosen = [cell for cell in plan.cells if cell.name != "other"]
    labels = [result.row.label for result in measure_rows(plan.experiment, chosen, plan.store)]
    assert "plain" in labels and "both | =1+1" not in labels


def test_results_without_the_outputs_still_give_all_numbers(plan: Reproduction) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number)
    first = rows_of(plan)
    for cell in plan.cells:
        (plan.store.folder(cell.digest) / "outputs.safetensors").unlink()
    assert rows_of(plan) == first and show(plan).startswith("Table 0, scale smoke: 6 of 6")
    again = next(cell for cell in plan.cells if cell.name == "branches" and cell.seed == 1)
    finish(plan.store, again, 77)
    other = rows_of(plan)
    changed = {
        label
        for label, row in other.items()
        if row.by_seed[1]["top1"] != first[label].by_seed[1]["top1"]
    }  # fmt: skip
    assert {"JP 0.3", "second branch"} <= changed, "what was computed from the outputs before is not used"
    assert all(other[label].by_seed[0] == first[label].by_seed[0] for label in other)


def test_a_branch_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    rows = [{"label": "third", "training": "branches", "way": "branch", "branch": 2}]
    experiment = parse_experiment({**CONTENT, "rows": rows, "panels": {}}, "trial")
    cells = plan_cells(experiment, "smoke", [0])
    store = Store(tmp_path / "out")
    for number, cell in enumerate(cells):
        finish(store, cell, number)
    with pytest.raises(
        InputError, match=r"^row 'third': there is no branch 2; the network has 2, counted from 0$"
    ):
        measure_rows(experiment, cells, store)


def test_outputs_that_never_were_there_are_named(plan: Reproduction) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number)
        (plan.store.folder(cell.digest) / "outputs.safetensors").unlink()
    rows = rows_of(plan)
    assert rows["JP"].by_seed.keys() == {0, 1}
    for label in ("both | =1+1", "JP 0.3"):
        assert rows[label].by_seed == {}
        assert "outputs.safetensors; delete its folder to repeat" in rows[label].missing[0]


@pytest.mark.parametrize("content", ["{", "[]", '{"of": {}}'])
def test_a_damaged_measure_is_computed_again(plan: Reproduction, content: str) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number)
    first = rows_of(plan)
    kept = sorted((plan.store.root / "measures").iterdir())
    assert len(kept) == 2 * 2
    for path in kept:
        path.write_text(content, encoding="utf-8")
    assert rows_of(plan) == first


def test_damaged_results_are_named(plan: Reproduction) -> None:
    finish(plan.store, plan.cells[0], 0)
    (plan.store.folder(plan.cells[0].digest) / RESULT).write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match=r"training\.json.*delete its folder to repeat"):
        rows_of(plan)


def test_show_before_anything_has_run(plan: Reproduction) -> None:
    text = show(plan)
    assert "0 of 6 trainings done" in text and "50.00" in text and "0/2" in text
    assert (plan.store.root / "trial-smoke.md").exists()
    assert not (plan.store.root / "trial-smoke.svg").exists()


def test_show_writes_every_number(plan: Reproduction) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number)
    text = show(plan)
    assert "6 of 6 trainings done" in text
    page = (plan.store.root / "trial-smoke.md").read_text(encoding="utf-8")
    assert "both \\| =1+1" in page and "- small" in page and "As in the paper:\n\n- all" in page
    rows = list(
        csv.DictReader(io.StringIO((plan.store.root / "trial-smoke.csv").read_text(encoding="utf-8")))
    )
    assert len(rows) == 2 * len(plan.experiment.rows)
    record = json.loads((plan.store.root / "trial-smoke.json").read_text(encoding="utf-8"))
    measured = rows_of(plan)
    for row in record["rows"]:
        values = column(measured[row["label"]], "top1")
        assert row["top1"]["mean"] == pytest.approx(np.mean(list(values.values())))
        assert row["top1"]["deviation"] == pytest.approx(np.std(list(values.values()), ddof=1))
        assert {int(seed): numbers["top1"] for seed, numbers in row["by_seed"].items()} == values
    assert record["trainings"][0]["training"]["settings"]["data"] == "digits"
    first = (plan.store.root / "trial-smoke.svg").read_bytes()
    show(plan)
    assert (plan.store.root / "trial-smoke.svg").read_bytes() == first, "the same numbers, the same bytes"
    assert ElementTree.fromstring(first).tag.endswith("svg")


def test_lines_of_a_plot(plan: Reproduction) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number)
    results = measure_rows(plan.experiment, plan.cells, plan.store)
    lines = panel_lines(plan.experiment, results, plan.cells, plan.store)
    [rows], [curve] = lines["a"], lines["b"]
    assert [point.x for point in rows.points] == [1, 2]
    values = list(column(rows_of(plan)["JP"], "top1").values())
    assert rows.points[1].mean == pytest.approx(np.mean(values))
    [listed] = lines["c"]
    assert [point.x for point in listed.points] == [10 / 60, 23 / 60], "minutes, groups included"
    assert listed.points[1].mean == rows.points[1].mean
    assert curve.points == (Point(1, 10.5, math.sqrt(0.5)), Point(2, 20.5, math.sqrt(0.5)))


def test_a_reliability_diagram_is_that_of_all_samples_together(plan: Reproduction) -> None:
    drawn = [(cell, number) for number, cell in enumerate(plan.cells) if cell.name == "branches"]
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number)
    results = measure_rows(plan.experiment, plan.cells, plan.store)
    [line] = panel_lines(plan.experiment, results, plan.cells, plan.store)["e"]
    scores, targets = [], []
    for _, number in drawn:
        given = parts(number)
        found, _ = standard_ways(given, LABELS)
        scores.append(found["JP"].exp())
        targets.append(given["test"].targets)
    bins = reliability(torch.cat(scores), torch.cat(targets))
    used = bins.count > 0
    assert [point.x for point in line.points] == pytest.approx(100 * bins.confidence[used])
    assert [point.mean for point in line.points] == pytest.approx(100 * bins.accuracy[used])


def test_other_measures_in_tables_and_plots(plan: Reproduction) -> None:
    for number, cell in enumerate(plan.cells):
        finish(plan.store, cell, number)
    results = measure_rows(plan.experiment, plan.cells, plan.store)
    [line] = panel_lines(plan.experiment, results, plan.cells, plan.store)["d"]
    values = list(column(rows_of(plan)["JP"], "auroc").values())
    assert line.points[1].mean == pytest.approx(np.mean(values)) and 0 < line.points[1].mean < 1
    header = as_markdown(results, plan.experiment.measures).splitlines()[0]
    assert "AUROC" in header and "NLL" not in header
    assert "AUROC" not in as_markdown(results)
    with pytest.raises(InputError, match="reliability"):
        parse_experiment({**CONTENT, "panels": {"a": {"title": "t", "x": "x", "reliabilty": []}}}, "trial")


def test_a_plot_of_one_seed_has_no_deviation() -> None:
    panels = {"p": Panel(title="t", x="x")}
    drawn = draw_panels(panels, {"p": [Line("one", (Point("a", 1.0), Point("b", 2.0)))]}, "title")
    assert b"<svg" in drawn


def test_no_two_lines_of_a_plot_look_the_same() -> None:
    styles = [line_style(number, marked=False) for number in range(14)]
    assert len({(style["color"], style["linestyle"]) for style in styles}) == 14
    lone = [line_style(number, marked=True) for number in range(14)]
    assert len({(style["marker"], style["color"], style["fillstyle"]) for style in lone}) == 14
    lines = [Line(f"line {place}", (Point(0.0, place), Point(1.0, place))) for place in range(8)]
    drawn = [draw_panels({"p": Panel(title="t", x="x")}, {"p": lines[:count]}, "title") for count in (7, 8)]
    assert [b"stroke-dasharray: 5" in svg for svg in drawn] == [False, True]


def test_mean_and_deviation() -> None:
    assert summarise_values([]) is None
    alone = summarise_values([3.0])
    assert alone is not None and (alone.mean, alone.deviation, alone.count) == (3.0, None, 1)


def test_paired_difference_is_that_of_the_t_test() -> None:
    random = np.random.default_rng(0)
    ours, theirs = random.normal(52, 1, 5), random.normal(50, 1, 5)
    found = paired_difference(dict(enumerate(ours)), dict(enumerate(theirs)))
    interval = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert paired_difference({0: 1.0}, {1: 1.0}) is None, "other seeds are no pairs"
    single = paired_difference({0: 3.0, 1: 9.0}, {0: 1.0})
    assert single is not None and (single.mean, single.low, single.count) == (2.0, None, 1)


def test_tables_of_labels_from_outside() -> None:
    row = Row(label="a\x1b[31m|b", training="x", way="TR")
    results = [RowResult(row, {}, {0: "bad\nnews"}, {0: ["d"]})]
    assert "\x1b" not in as_text(results) + as_markdown(results) + as_csv(results)
    assert len(as_csv(results).splitlines()) == 2
    assert as_values(results)[0]["missing"] == {"0": "bad\nnews"}
