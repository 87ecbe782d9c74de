"""The checks of explanations as a whole: on models of which the right answer is known."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from ssal.errors import DataError, InputError
from ssal.evidence import explain
from ssal.evidence.faithfulness import (
    Against,
    as_record,
    check,
    check_explanations,
    compare_checks,
    findings,
    format_checks,
    survey,
)
from ssal.evidence.faithfulness.orders import upsample
from ssal.evidence.faithfulness.reader import MapReader
from ssal.evidence.faithfulness.results import ExplanationChecks, Subject
from ssal.evidence.finer import find_sources
from ssal.grouping import Grouping
from ssal.joint import Exponents
from ssal.model import Branch, SSALModel
from ssal.modes import evaluating

from .lively import CLASSES, images, small_model
from .quadrant import Wallpaper, Window, bright_images, pooled_model

FAST = {"steps": 6, "pairs": 1, "weight_draws": 1}


@pytest.fixture(scope="module")
def truthful() -> ExplanationChecks:
    """Of a model that looks at one quarter of the image, and whose maps say so."""
    return check_explanations(pooled_model(Window()), bright_images(), baseline="mean")


def test_true_maps_beat_random_ones_the_centre_and_those_of_others(truthful: ExplanationChecks) -> None:
    assert [(part.subject.name, part.method, part.grid) for part in truthful.parts] == [
        ("main", "cam", (8, 8)),
        ("look", "cam", (8, 8)),
        ("joint", "sum", (8, 8)),
    ]
    for part in truthful.parts:
        assert part.score > 0.9 and part.score_empty < 0.6
        for areas, sign in ((part.deletion, -1), (part.insertion, 1)):
            assert areas.over_random.low > 0.05 and areas.over_centre.low > 0.05
            assert areas.over_random.value == pytest.approx(sign * (areas.map - areas.random))
            assert areas.over_centre.value == pytest.approx(sign * (areas.map - areas.centre))
        # The maps of other classes are flat or opposite here.
        assert part.other.difference.low > 0.05
        # All that counts is gone after a quarter of the pixels; a removed pixel more changes nothing.
        quarter = part.curves.fractions.index(0.25)
        assert part.curves.deletion[quarter] == pytest.approx(part.score_empty, abs=0.02)
        assert part.curves.insertion[quarter] == pytest.approx(part.score, abs=0.02)
        assert part.curves.deletion_random[quarter] > part.score_empty + 0.1
    said = findings(truthful)
    assert "In deletion, the maps of main, look and joint are better than random maps." in said
    assert (
        "In insertion, the maps of main, look and joint are better than a mark in the centre of the image."
        in said
    )


def test_maps_of_a_model_that_looks_at_nothing_show_no_difference() -> None:
    checks = check_explanations(pooled_model(Wallpaper()), bright_images(6), **FAST)
    for part in checks.parts:
        assert part.flat == 0
        for difference in (
            part.deletion.over_random,
            part.deletion.over_centre,
            part.insertion.over_random,
            part.insertion.over_centre,
            part.other.difference,
        ):
            assert difference.low <= 1e-9 and difference.high >= -1e-9
            assert difference.value == pytest.approx(0, abs=1e-9)
    assert "In deletion, the maps of main, look and joint are no better than random maps." in findings(checks)


def test_flat_maps_are_counted_and_get_no_credit() -> None:
    checks = check_explanations(pooled_model(Wallpaper(flat=True)), bright_images(6), **FAST)
    assert [part.flat for part in checks.parts] == [6, 6, 6]
    assert any(
        "For 6 of 6 images the map of look is the same everywhere" in line for line in findings(checks)
    )
    # Flat maps are like nothing, themselves included.
    assert all(stage.spearman == 0 for cascade in checks.randomisation for stage in cascade.stages)


def test_the_maps_and_what_they_explain_are_those_of_a_prediction() -> None:
    model, exponents = small_model().eval(), Exponents(0.9, (0.8, 1.1, 0.6))
    with evaluating(model):
        reader = MapReader(model, find_sources(model))
        found = survey.survey(reader, images(5), exponents, 0)
    for index, evidence in enumerate(explain(model, images(5), exponents)):
        assert found.targets.own[:, index].tolist() == [
            evidence.winner,
            *(p.predicted for p in evidence.parts[1:]),
        ]
        for maps, part in zip(found.parts, evidence.parts, strict=True):
            assert maps is not None and part.map is not None
            large = upsample(maps.own, (9, 6))[index].numpy()
            assert np.allclose((large - large.min()) / np.ptp(large), part.map, atol=1e-5)


def test_other_targets_are_others() -> None:
    model = small_model().eval()
    with evaluating(model):
        reader = MapReader(model, find_sources(model))
        found = survey.survey(reader, images(40), model.exponents, 0).targets
    assert not (found.own == found.other).any()
    for number, labels in enumerate(model.labels, start=1):
        assert torch.equal(found.winner[number], labels[found.winner[0]])
        assert torch.equal(found.rival[number], labels[found.other[0]])
        assert found.other[number].max() < model.specs[number - 1].grouping.num_groups


def test_the_joint_map_is_the_sum_of_the_parts_weighted_by_their_exponents() -> None:
    """In units of the logits: the mean of the joint map is Σ η·logit of the winner."""
    model, exponents = pooled_model(Window()), Exponents(0.7, (1.3,))
    with evaluating(model):
        reader = MapReader(model, find_sources(model))
        found = survey.survey(reader, bright_images(), exponents, 0)
        main, branch = (part.winner for part in found.parts if part is not None)
        outputs = model(bright_images())
    total = (exponents.main * main + exponents.branches[0] * branch).mean(dim=(1, 2))
    logits = 0.7 * outputs.main[:, 0] + 1.3 * outputs.groups[0][:, 0]
    assert torch.allclose(total, logits.double(), atol=1e-5)
    # With one part only there is nothing to add up.
    checks = check_explanations(model, bright_images(2), Exponents(1.0, (0.0,)), **FAST)
    assert [part.subject.name for part in checks.parts] == ["main", "look"]


def test_nothing_is_left_behind() -> None:
    model = small_model()
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    hooks = [len(module._forward_hooks) for module in model.modules()]
    with torch.inference_mode():
        given = images(3)
        check_explanations(model, given, **FAST)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    assert all(module.training for module in model.modules())
    assert all(weights.grad is None for weights in model.parameters())
    assert torch.equal(given, images(3))


def test_the_same_seed_gives_the_same_checks() -> None:
    model = small_model()
    first, again, other = (check_explanations(model, images(5), **FAST, seed=seed) for seed in (0, 0, 1))
    assert first == again and as_record(first) == as_record(again)
    assert first.parts[0].deletion.random != other.parts[0].deletion.random
    assert first.parts[0].deletion.map == pytest.approx(other.parts[0].deletion.map, abs=1e-6)
    assert first.randomisation != other.randomisation


def test_a_batch_gives_what_single_images_give(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = as_record(check_explanations(small_model(), images(5), **FAST))
    monkeypatch.setattr(check, "_CHUNK", 1)
    monkeypatch.setattr(check, "_LEAST_CHUNK", 1)
    monkeypatch.setattr(survey, "CHUNK", 1)
    single = as_record(check_explanations(small_model(), images(5), **FAST))
    for one, two in zip(whole["parts"], single["parts"], strict=True):
        # Groups and classes to compare with are drawn batch by batch.
        for record in (one, two):
            record.pop("wrong_group")
            record["curves"].pop("deletion_other")
        for test in ("deletion", "insertion"):
            assert one[test]["map"] == pytest.approx(two[test]["map"], abs=1e-5)
        for name, values in one["curves"].items():
            assert values == pytest.approx(two["curves"][name], abs=1e-5)
    for one, two in zip(whole["randomisation"], single["randomisation"], strict=True):
        for left, right in zip(one["stages"], two["stages"], strict=True):
            assert left["spearman"] == pytest.approx(right["spearman"], abs=1e-3)


def test_half_precision_changes_next_to_nothing() -> None:
    single, half = (
        check_explanations(small_model(), images(5), **FAST, precision=precision)
        for precision in ("32", "bf16")
    )
    for one, two in zip(single.parts, half.parts, strict=True):
        assert one.deletion.map == pytest.approx(two.deletion.map, abs=0.03)


def test_a_model_without_maps_has_nothing_to_check() -> None:
    flat = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    model = SSALModel(flat, [Branch("1", Grouping.random(CLASSES, 3), layout="dense 8")], (6,))
    checks = check_explanations(model, torch.randn(3, 6))
    assert checks.parts == () and checks.randomisation == ()
    assert checks.without_map == (Subject("main", "main"), Subject("branch", "1", 1))
    assert findings(checks) == ["No part of this model reads a map of the image: there is nothing to check."]
    assert "nothing to check" in format_checks(checks)
    assert json.loads(json.dumps(as_record(checks), allow_nan=False))["parts"] == []


def test_parts_without_maps_are_named() -> None:
    net = small_model().release()
    branches = [
        Branch("pool", Grouping.random(CLASSES, 3), layout="dense 4"),
        Branch("late", Grouping.random(CLASSES, 2), layout="gap"),
    ]
    checks = check_explanations(SSALModel(net, branches, (1, 9, 6)), images(3), **FAST)
    assert [part.subject.branch for part in checks.parts] == [None, 2, None]
    assert checks.without_map == (Subject("branch", "pool", 1),)
    assert "Without a map of the image, and so not checked: pool." in findings(checks)
    assert {cascade.subject.branch for cascade in checks.randomisation} == {None, 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"baseline": "blurr"}, "unknown baseline 'blurr'; did you mean 'blur'"),
        ({"steps": 1}, "steps must be 2 at least, got 1"),
        ({"pairs": 0}, "pairs must be 1 at least"),
        ({"seed": -1}, "seed must be 0 at least"),
        ({"weight_draws": -1}, "weight_draws must be 0 at least"),
        ({"exponents": Exponents(1.0, (1.0,))}, "1 exponents given for 3 branches"),
        ({"images": torch.zeros(3, 1, 6, 9)}, r"images must be \[N, 1, 9, 6\], not \[3, 1, 6, 9\]"),
        ({"images": images(1)}, "two images at least, got 1"),
    ],
)
def test_bad_input_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_explanations(**({"model": small_model(), "images": images(2)} | changes))


def test_a_network_gone_wrong_is_named() -> None:
    model = small_model()
    nn.init.constant_(model.backbone.fc.bias, float("nan"))
    with pytest.raises(DataError, match="no finite numbers for 2 of 2 images"):
        check_explanations(model, images(2), **FAST)


def test_two_models_are_compared_image_by_image(truthful: ExplanationChecks) -> None:
    blind = check_explanations(pooled_model(Wallpaper()), bright_images(), baseline="mean", weight_draws=0)
    compared = compare_checks(truthful, blind)
    assert [part.subject.name for part in compared] == ["main", "look", "joint"]
    for part, mine, theirs in zip(compared, truthful.parts, blind.parts, strict=True):
        for name in ("deletion", "insertion"):
            contrast, sign = getattr(part, name), -1 if name == "deletion" else 1
            one, two = getattr(mine, name), getattr(theirs, name)
            assert (contrast.this, contrast.other) == (one.map, two.map)
            assert contrast.difference.value == pytest.approx(sign * (one.map - two.map))
            assert contrast.gain_difference.low > 0.05
            assert contrast.gain == pytest.approx(one.over_random.value / (mine.score - mine.score_empty))
            assert contrast.gain_difference.value == pytest.approx(contrast.gain - contrast.other_gain)
    same = compare_checks(truthful, truthful)
    assert all(part.deletion.difference.value == 0 for part in same)
    with pytest.raises(InputError, match="different steps: 16 and 6"):
        compare_checks(
            truthful, check_explanations(pooled_model(Window()), bright_images(), baseline="mean", **FAST)
        )
    both = dataclasses.replace(truthful, against=Against("runs/other", "random", compared))
    assert findings(both)[-2] == (
        "In deletion, beside runs/other (random groups) and relative to the probability at stake, the maps "
        "of main, look and joint are better than those of the other run."
    )
    assert "against runs/other (random groups)" in format_checks(both)
    assert as_record(both)["against"]["parts"][1]["deletion"]["relative_gain"]["interval"][0] > 0.05


def test_the_record_has_the_agreed_keys(truthful: ExplanationChecks) -> None:
    record = json.loads(json.dumps(as_record(truthful), allow_nan=False))
    assert set(record) == {
        "images",
        "baseline",
        "steps",
        "draws",
        "seed",
        "parts",
        "without_map",
        "randomisation",
        "against",
        "findings",
    }
    assert (record["images"], record["baseline"], record["steps"], record["draws"]) == (12, "mean", 16, 4)
    part = record["parts"][1]
    assert (part["part"], part["kind"], part["branch"], part["method"]) == ("look", "branch", 1, "cam")
    for test in ("deletion", "insertion"):
        assert {"map", "random", "centre", "difference", "interval"} <= set(part[test])
        low, high = part[test]["interval"]
        assert low <= part[test]["difference"] <= high
    assert {"map", "other", "difference", "interval"} <= set(part["wrong_group"])
    curves = part["curves"]
    assert {len(values) for values in curves.values()} == {17}
    assert curves["fractions"] == [step / 16 for step in range(17)]
    assert curves["deletion"][0] == curves["deletion_random"][0] == curves["insertion"][-1] == part["score"]
    assert curves["deletion"][-1] == curves["insertion_centre"][0] == part["score_empty"]
    # The area of the mean curve is the mean of the areas.
    assert np.trapezoid(curves["deletion"], curves["fractions"]) == pytest.approx(
        part["deletion"]["map"], abs=1e-5
    )
    assert [cascade["part"] for cascade in record["randomisation"]] == ["main", "look"]
    assert record["randomisation"][0]["stages"][0]["randomised"] == "fc"
    assert record["findings"] == findings(truthful)


def test_the_table_fits_a_terminal_and_shows_what_was_found(truthful: ExplanationChecks) -> None:
    text = format_checks(truthful)
    assert text.startswith(
        "12 images, 16 steps, 4 random maps an image; a removed pixel takes the mean colour"
    )
    assert max(map(len, text.split("\n- ")[0].splitlines())) <= 120
    for part in truthful.parts:
        assert f"{part.deletion.map:.3f}" in text and f"{part.insertion.over_random.value:+.3f}" in text
    assert all(f"- {line}" in text for line in findings(truthful))
