"""The files of the experiments: their schema, and their figures against the paper's."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ssal.backbones import create_backbone
from ssal.cost import count_flops, count_parameters
from ssal.errors import InputError
from ssal.experiments.methods import METHODS
from ssal.experiments.plan import plan_cells
from ssal.experiments.reading import check_scale, list_experiments, load_experiment, parse_experiment
from ssal.experiments.results import measure_rows
from ssal.experiments.runner import plan_reproduction
from ssal.experiments.spec import SCALES, Experiment
from ssal.grouping import Grouping
from ssal.model import Branch, SSALModel
from ssal.run.heads import one_each

PAPER = {
    "table1": {
        "ResNet-18": (75.67, 11.23),
        "ResNet-18, 1 branch, η = 1": (76.62, 11.92),
        "ResNet-18, 2 branches, η = 1": (78.23, 12.83),
        "ResNet-50": (79.13, 23.77),
        "ResNet-50, 1 branch, η = 1": (79.70, 25.07),
        "ResNet-50, 3 branches, η = 1": (80.36, 28.89),
        "ResNet-50, 3 branches, η = 0.3": (80.69, 28.89),
        "WRN-28-10": (80.19, 36.56),
        "WRN-28-10, 1 branch, η = 1": (80.96, 38.19),
        "WRN-28-10, 3 branches, η = 1": (80.68, 43.25),
        "WRN-28-10, 3 branches, η = 0.4": (81.08, 43.25),
    },
    "table2": {
        "ResNet-18": (39.9, 11.2),
        "WideResNet18": (42.3, 25.3),
        "DeepResNet18": (43.1, 13.3),
        "DWRResNet18": (43.7, 19.0),
        "GapCatNoSSAL": (40.2, 15.6),
        "CatFCNoSSAL": (35.3, 13.6),
        "LinearComb": (44.1, 12.8),
        "SSAL ×1": (45.8, 12.6),
        "SSAL ×3": (50.0, 15.6),
    },
    "table3": {
        "ResNet-50": (78.9, 23.8),
        "ResNet-50, TR": (79.7, None),
        "ResNet-50, JP, η = 0.3": (80.6, 28.9),
        "ResNet-50, LC": (80.2, None),
        "SE-WRN-16-8": (79.0, 11.1),
        "SE-WRN-16-8, TR": (79.0, None),
        "SE-WRN-16-8, JP, η = 0.4": (80.2, 14.9),
        "SE-WRN-16-8, LC": (80.0, None),
        "WRN-28-10": (80.1, 36.6),
        "WRN-28-10, TR": (80.6, None),
        "WRN-28-10, JP, η = 0.4": (81.0, 38.2),
        "WRN-28-10, LC": (80.7, None),
        "DenseNet-190-40": (81.1, 26.1),
        "DenseNet-190-40, TR": (81.8, None),
        "DenseNet-190-40, JP, η = 0.5": (83.2, 38.3),
        "DenseNet-190-40, LC": (83.1, None),
    },
    "table4": {
        "ResNet-50": (75.5, None),
        "TR": (76.4, None),
        "JP, η = 0.3": (76.9, None),
        "LC": (76.7, None),
        "GapCatNoSSAL": (75.7, None),
    },
    "table5": {
        "HD-CNN": (65.64, None),
        "HydraNets": (76.25, None),
        "COT": (79.46, None),
        "DSL": (81.95, None),
        "DHM": (82.80, None),
        "Aux. Train": (80.84, None),
        "SSAL": (83.24, None),
    },
}
TOP5 = {"ResNet-50": 92.7, "TR": 93.3, "JP, η = 0.3": 93.7, "LC": 93.4, "GapCatNoSSAL": 92.7}


def test_all_tables_and_figures_are_there() -> None:
    tables = [f"table{number}" for number in range(1, 6)]
    assert {*tables, "figure2", "figure3", "figure5", "figure6"} <= set(list_experiments())


@pytest.mark.parametrize("name", sorted(PAPER))
def test_published_figures(name: str) -> None:
    rows = load_experiment(name).rows
    found = {row.label: (row.published.top1, row.published.parameters) for row in rows}
    assert {label: figures for label, figures in found.items() if figures != (None, None)} == PAPER[name]


def test_published_top5_and_deviations() -> None:
    rows = load_experiment("table4").rows
    assert {row.label: row.published.top5 for row in rows if row.published.top5} == TOP5
    deviations = [row.published.top1_sd for row in load_experiment("table2").rows]
    assert deviations == [0.3, 0.3, 0.4, 0.1, 0.3, 0.8, 0.1, 0.2, 0.4, None, None, None, None, None]


@pytest.mark.parametrize("name", list_experiments())
def test_every_experiment_can_be_planned_at_every_scale(name: str) -> None:
    experiment = load_experiment(name)
    assert set(experiment.scales) == set(SCALES)
    used = {training for row in experiment.rows for training in row.trainings}
    for scale in SCALES:
        cells = plan_cells(experiment, scale, [0, 1])
        assert {cell.name for cell in cells} == set(experiment.trainings)
        order = [cell.digest for cell in cells]
        for cell in cells:
            source = cell.training.groups_from
            assert source is None or order.index(source) < order.index(cell.digest)
        assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
        assert len({cell.training.settings.epochs for cell in cells}) == 1 or name in (
            "table3",
            "figure3",
            "figure5",
            "verdict",
        )
    baselines = {experiment.groups_from(training) for training in experiment.trainings}
    assert used | baselines >= set(experiment.trainings), "a training that no row shows"
    assert experiment.differs and experiment.scales["cpu"].notes


def test_the_paper_scale_is_as_published() -> None:
    cells = {cell.name: cell.training for cell in plan_cells(load_experiment("table1"), "paper", [0])}
    wide = cells["wrn28_10-3"].settings
    assert (wide.epochs, wide.lr, wide.batch_size, wide.optimizer.weight_decay) == (80, 0.021, 64, 7e-4)
    assert wide.optimizer.branch_weight_decay == 3e-4 and wide.branch.weights == (0.8, 0.9, 1.0)
    assert cells["wrn28_10"].settings.lr == 0.016 and cells["resnet50"].settings.lr == 0.088
    assert cells["resnet50-3"].settings.branch.weights == (0.42, 0.59, 0.76)
    assert cells["resnet50-3"].settings.groups == (20, 33, 50)
    assert cells["resnet50-3"].settings.layout[0] == "cbr 128,5,2 | cbr 128,3,1 | inception 100 | gap"
    tiny = plan_cells(load_experiment("table2"), "paper", [0])[0].training.settings
    assert (tiny.data, tiny.epochs, tiny.schedule.peak) == ("tiny-imagenet", 20, 0.4)


@pytest.mark.parametrize(("name", "count"), [("verdict", 66), ("verdict-full", 11)])
def test_the_verdict_compares_every_cell_in_each_way_with_a_baseline_of_equal_time(
    name: str, count: int
) -> None:
    experiment = load_experiment(name)
    cells = {cell.name: cell.training for cell in plan_cells(experiment, "cpu", [0])}
    assert len(cells) == count and all(
        cell.settings.seed == 0 for key, cell in cells.items() if key != "half-2"
    )
    rows = {row.label: row for row in experiment.rows}
    for key, cell in cells.items():
        own = [row for row in rows.values() if row.training == key]
        if cell.method in ("ssal", "dhm"):
            assert {(row.way, row.exponents) for row in own if row.way != "branch"} == {
                ("TR", "fit"),
                ("JP", (1.0,)),
                ("JP", "fit"),
                ("LC", "fit"),
            }
        if cell.same_time_as is None:
            references = [rows[row.reference] for row in own if row.reference is not None]
            timed = [row for row in references if cells[row.trainings[0]].same_time_as is not None]
            assert len(timed) >= min(4, len(own)), key


def test_rivals_of_the_verdict_have_the_size_that_its_notes_say() -> None:
    experiment = load_experiment("verdict")
    cells = {cell.name: cell.training for cell in plan_cells(experiment, "cpu", [0])}
    sizes: list[str] = []
    names = ("wide-18", "wide-20", "wide-24", "deep-12", "deep-14", "join", "paper-layout", "late")
    for name in names:
        settings = cells[name].settings
        shape = (3, 32, 32)
        network = create_backbone(settings.model, 100, in_chans=3, input_size=shape[1:], width=settings.width)
        if name in names[5:]:
            taps = ("layer1", "layer2", "layer3") if settings.taps == "auto" else settings.taps
            layouts = one_each("layout", settings.layout, 3)
            groups = [Grouping.random(100, int(count)) for count in settings.groups]
            parts = zip(taps, groups, layouts, strict=True)
            network = SSALModel(network, [Branch(*part) for part in parts], shape)
        sizes.append(f"{count_parameters(network) / 1e6:.2f} and {count_flops(network, shape) / 1e6:.0f}")
    millions, flops = zip(*(size.split(" and ") for size in sizes), strict=True)
    wider, deeper = ", ".join(millions[:3]), f"{millions[3]} and {millions[4]} million parameters"
    said = " ".join(" ".join(experiment.scales["cpu"].notes).split())
    assert f"with {wider}, {deeper} and {', '.join(flops[:4])} and {flops[4]} MFLOPs" in said
    own = zip(("join has", "the paper's branches", "late ones"), sizes[5:], strict=True)
    assert ", ".join(" ".join(pair) for pair in own) in said


def test_layouts_follow_the_width() -> None:
    cells = {cell.name: cell.training for cell in plan_cells(load_experiment("table1"), "cpu", [0])}
    assert cells["resnet18-1"].settings.layout == ("cbr 32,5,2 | cbr 32,3,1 | inception 25 | gap",)


def test_experiments_share_trainings_of_equal_settings() -> None:
    def digests(name: str) -> dict[str, str]:
        return {cell.name: cell.digest for cell in plan_cells(load_experiment(name), "cpu", [0])}

    first = digests("table1")
    assert digests("table3")["resnet50-3"] == first["resnet50-3"] == digests("figure6")["resnet50-3"]
    assert digests("table5")["resnet18"] == first["resnet18"] == digests("figure2")["resnet18"]
    assert digests("figure3")["wrn28_10"] == first["wrn28_10"]
    assert len(set(first.values())) == len(first)


def test_all_methods_are_run_by_some_experiment() -> None:
    used = {
        cell.training.method
        for name in list_experiments()
        for cell in plan_cells(load_experiment(name), "smoke", [0])
    }
    assert used == {"baseline", *METHODS}


def test_the_docs_say_what_is_as_in_the_paper_and_what_is_not() -> None:
    page = (Path(__file__).parents[1] / "docs" / "reproduce.md").read_text(encoding="utf-8")
    text = " ".join(page.split())
    for name in list_experiments():
        experiment = load_experiment(name)
        notes = [*experiment.same, *experiment.differs]
        notes += [note for scale in ("paper", "cpu") for note in experiment.scales[scale].notes]
        assert [note for note in notes if note not in text] == []


def test_the_example_of_the_docs_is_an_experiment() -> None:
    page = (Path(__file__).parents[1] / "docs" / "reproduce.md").read_text(encoding="utf-8")
    example = page.split("```yaml")[1].split("```")[0]
    experiment = parse_experiment(yaml.safe_load(example), "example")
    assert [cell.name for cell in plan_cells(experiment, "smoke", [0])] == [
        "plain",
        "join",
        "random",
        "other",
    ]


def content(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "title": "t",
        "source": "s",
        "scales": {"smoke": {"settings": {"data": "digits", "epochs": 1}}},
        "trainings": {
            "plain": {},
            "branches": {"method": "ssal", "groups_from": "plain", "settings": {"groups": [2]}},
        },
        "rows": [{"label": "plain", "training": "plain", "way": "baseline"}],
    }
    return {**base, **changes}


LOOP: dict[str, Any] = {
    "plain": {"same_time_as": "branches"},
    "branches": {"method": "ssal", "groups_from": "plain"},
}
SAME_TIME: dict[str, Any] = {
    **content()["trainings"],
    "half": {"same_time_as": "branches", "time_share": 0.5, "start": 2},
}


def parse(**changes: Any) -> Experiment:
    return parse_experiment(content(**changes), "mine")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"titel": "x"}, "unknown key 'titel'; did you mean 'title'"),
        ({"rows": [{"label": "x", "trainning": "plain", "way": "TR"}]}, "did you mean 'training'"),
        (
            {"rows": [{"label": "x", "training": "plane", "way": "TR"}]},
            "unknown training 'plane'; did you mean 'plain'",
        ),
        (
            {"rows": [{"label": "x", "training": "plain", "way": "PJ"}]},
            "'baseline', 'TR', 'JP', 'LC' or 'branch'",
        ),
        ({"rows": [{"label": "x", "training": "plain", "way": "TR"}]}, "has no branches"),
        ({"rows": [{"label": "x", "training": "branches", "way": "baseline"}]}, "is no baseline"),
        ({"rows": [{"label": "x", "way": "TR"}]}, "needs either a training or an ensemble"),
        ({"rows": [{"label": "x", "training": "plain", "way": "baseline"}] * 2}, "two rows are called 'x'"),
        (
            {"rows": [{"label": "x", "training": "plain", "way": "baseline", "reference": "y"}]},
            "unknown row 'y'",
        ),
        (
            {"rows": [{"label": "x", "training": "plain", "way": "baseline", "panel": "p"}]},
            "unknown panel 'p'",
        ),
        ({"trainings": {"a": {"base": "b"}}, "rows": []}, "unknown base 'b'"),
        (
            {"trainings": {"a": {"groups_from": "a", "method": "ssal"}}, "rows": []},
            "which is no plain baseline",
        ),
        (
            {"trainings": {"a": {"same_time_as": "b"}, "b": {"method": "ssal"}}, "rows": []},
            "'a' is to take the time of 'b', but counted_in no plain baseline",
        ),
        (
            {
                "trainings": {"a": {}, "b": {"method": "cot", "same_time_as": "a", "counted_in": "a"}},
                "rows": [],
            },
            "'b' is to take the time of 'a', but is no baseline",
        ),
        ({"trainings": LOOP, "rows": []}, "time of 'branches', but counted_in no plain baseline"),
        (
            {"trainings": {**SAME_TIME, "b": {"method": "ssal", "groups_from": "half"}}, "rows": []},
            "groups of 'b' come from 'half', which is no plain baseline",
        ),
        (
            {"rows": [{"label": "x", "training": "branches", "ways": ["TR", "PJ"]}]},
            "unknown way 'PJ'; did you mean 'JP'",
        ),
        (
            {"panels": {"p": {"title": "p", "x": "k", "lines": {"l": "plain"}}}},
            "row 'plain' is part of a plot, but has no x",
        ),
        ({"panels": {"p": {"title": "p", "x": "k", "lines": {"l": "plan"}}}}, "did you mean 'plain'"),
        (
            {
                "scales": {"smoke": {"seeds": 3}},
                "trainings": {**content()["trainings"], "plain": {"seeds": 2}},
            },
            "'branches' has more seeds than 'plain', which it needs",
        ),
        ({"scales": {"tiny": {}}}, "scales.tiny"),
        ({"scales": {"smoke": {"seeds": 0}}}, "scales.smoke.seeds"),
    ],
)
def test_faults_of_a_file(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        parse(**changes)
    assert message in str(error.value)
    assert str(error.value).startswith("experiment mine: ")
    assert "\n" not in str(error.value)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(InputError) as error:
        parse(titel="x", rows=[{"label": "x", "trainning": "plain", "way": "TR"}])
    assert "'titel'" in str(error.value) and "'trainning'" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"common": {"settings": {"epoch": 3}}}, "unknown setting 'epoch'; did you mean 'epochs'"),
        ({"common": {"network": "resnet51-3"}}, "unknown network 'resnet51-3'"),
        ({"trainings": {"a": {"method": "sal"}}, "rows": []}, "unknown method 'sal'"),
        ({"common": {"settings": {"baseline_epochs": 3}}}, "baseline_epochs is for ssal train"),
        ({"trainings": {"a": {"method": "ssal"}}, "rows": []}, "does not say groups_from"),
    ],
)
def test_faults_that_show_when_it_is_planned(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        plan_cells(parse(**changes), "smoke", [0])
    assert message in str(error.value)


def test_a_baseline_of_equal_time() -> None:
    trainings = {name: SAME_TIME[name] for name in ("half", "plain", "branches")}
    plain, branches, half = plan_cells(parse(trainings=trainings), "smoke", [3])
    assert (half.name, half.training.same_time_as) == ("half", branches.digest), "after what it needs"
    assert half.training.time_share == 0.5
    assert half.training.needs == (branches.digest, plain.digest)
    assert (half.training.settings.seed, half.training.settings.data_seed) == (2003, 3), "the same images"
    assert plain.training.settings.data_seed is None
    assert [cell.name for cell in plan_cells(parse(trainings=trainings), "smoke", [0], names=["half"])] == [
        "plain",
        "branches",
        "half",
    ]


def test_a_time_is_counted_in_epochs_of_the_same_network() -> None:
    other = SAME_TIME | {"half": SAME_TIME["half"] | {"settings": {"lr": 0.3}}}
    with pytest.raises(InputError, match="counted in epochs of 'plain', but differs"):
        plan_cells(parse(trainings=other), "smoke", [0])


def test_the_time_of_a_training_whose_groups_come_from_no_baseline() -> None:
    trainings: dict[str, Any] = {
        "same": {"same_time_as": "once", "counted_in": "plain"},
        "plain": {},
        "once": {"method": "ssal", "settings": {"groups": [2], "groups_from": "training"}},
    }
    plain, once, same = plan_cells(parse(trainings=trainings), "smoke", [0])
    assert once.training.groups_from is None
    assert (same.training.same_time_as, same.training.counted_in) == (once.digest, plain.digest)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"method": "catfc-groups"}, "'once': groups_from 'training' is for the method 'ssal' only"),
        ({"method": "dsl"}, "'once': groups_from 'training' is for the method 'ssal' only"),
        ({"method": "ssal", "groups_from": "plain"}, "'once': its groups are to come from 'plain' and"),
    ],
)
def test_what_cannot_have_groups_of_the_same_training(training: dict[str, Any], message: str) -> None:
    once = training | {"settings": {"groups": [2], "groups_from": "training"}}
    with pytest.raises(InputError, match=message):
        plan_cells(parse(trainings={"plain": {}, "once": once}), "smoke", [0])


def test_a_row_for_each_way() -> None:
    ways = {"label": "b", "training": "branches", "ways": ["TR", "JP1", "JP", "LC"], "reference": "plain"}
    rows = parse(rows=[*content()["rows"], ways]).rows[1:]
    assert [(row.label, row.way, row.exponents) for row in rows] == [
        ("b: TR", "TR", "fit"),
        ("b: JP, η = 1", "JP", (1.0,)),
        ("b: JP, fitted", "JP", "fit"),
        ("b: LC", "LC", "fit"),
    ]
    assert {row.reference for row in rows} == {"plain"}


def test_groups_that_no_confusion_is_needed_for() -> None:
    for settings in ({"groups": ["all"]}, {"groups": [2], "method": "random"}):
        free = parse(trainings={"a": {"method": "ssal", "settings": settings}}, rows=[])
        [cell] = plan_cells(free, "smoke", [0])
        assert cell.training.groups_from is None


def test_assignments_win_and_some_trainings_can_be_chosen() -> None:
    cells = plan_cells(parse(), "smoke", [3], assignments={"epochs": 7}, names=["branches"])
    assert [(cell.name, cell.seed) for cell in cells] == [("plain", 3), ("branches", 3)]
    assert {cell.training.settings.epochs for cell in cells} == {7}
    assert [cell.name for cell in plan_cells(parse(), "smoke", [0], names=["plain"])] == ["plain"]


def test_some_trainings_have_fewer_seeds(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    few = {"branches": content()["trainings"]["branches"] | {"seeds": 2}}
    both_ways = [*content()["rows"], {"label": "branches", "training": "branches", "way": "TR"}]
    scales = {"smoke": content()["scales"]["smoke"] | {"seeds": 3}}
    mine = content(scales=scales, trainings=content()["trainings"] | few, rows=both_ways)
    file.write_text(yaml.safe_dump(mine), encoding="utf-8")

    def planned(**given: Any) -> list[tuple[str, int]]:
        cells = plan_reproduction(str(file), scale="smoke", out=tmp_path, **given).cells
        return [(cell.name, cell.seed) for cell in cells]

    both = [(name, seed) for seed in (0, 1) for name in ("plain", "branches")]
    assert planned() == [*both, ("plain", 2)]
    assert planned(seeds=1) == both[:2]
    assert planned(seeds=3) == [*both, ("plain", 2), ("branches", 2)]
    plan = plan_reproduction(str(file), scale="smoke", out=tmp_path)
    rows = {result.row.label: result for result in measure_rows(plan.experiment, plan.cells, plan.store)}
    assert {label: sorted(result.missing) for label, result in rows.items()} == {
        "plain": [0, 1, 2],
        "branches": [0, 1],
    }


def test_unknown_experiment_and_scale(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'table1'"):
        load_experiment("tabel1")
    with pytest.raises(InputError, match="cannot read settings"):
        load_experiment(str(tmp_path / "mine.yaml"))
    with pytest.raises(InputError, match="unknown scale 'cpu'.*smoke"):
        check_scale(parse(), "cpu")


def test_weights_are_needed_where_pictures_are_drawn_with_them() -> None:
    plan = plan_reproduction("figure6", scale="smoke", seeds=1)
    needed = {cell.name for cell in plan.cells if cell.training.needs_weights}
    assert needed == {"resnet50", "resnet50-3"}
    others = plan_reproduction("table1", scale="smoke", seeds=1).cells
    assert not any(cell.training.needs_weights for cell in others)
    assert any(cell.training.keep_weights for cell in others), "kept at once for those that draw"
