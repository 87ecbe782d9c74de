"""The report as a page: whole, self-contained, honest, and the same each time."""

import base64
import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats as sps
import yaml

import ssal
from ssal.errors import InputError, RunError
from ssal.evidence import Evidence, Part
from ssal.report import report as report_module
from ssal.report import write_comparison, write_report
from ssal.report.budget import Budget
from ssal.report.comparison.differences import only_seeds_differ
from ssal.report.images import Gallery, open_images
from ssal.report.reading import Record, read_record
from ssal.report.sections.groups import groups
from ssal.report.words import Summary, summarise_run

from .made_runs import WAYS, made_run, names_of, run_with_images

LIMIT = 3_000_000
HOSTILE = [
    "<script>alert(1)</script>",
    "\u202eevil\u2066",
    '"><img src=x onerror=alert(2)>',
    "</style><b>bold",
    "{{7*7}}${7*7}",
    "x" * 300,
    "$\\frac{a}{b}$",
    " ",
]


class Page(HTMLParser):
    """What the tests ask of a page."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.styles: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} is given twice"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        (self.styles if self.open and self.open[-1] == "style" else self.words).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def check_page(text: str) -> Page:
    """Everything that holds for every page that the report writes."""
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "form", "base", "template"}
    for tag, attributes in page.elements:
        assert "style" not in attributes and not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "action", "poster", "data"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, value[:80])

    (style,) = page.styles
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policies = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    ]

    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in page.all("a")]
    assert links and {(link or "")[1:] for link in links} <= set(ids)
    labelled = [attributes["aria-labelledby"] for attributes in page.all("section")]
    assert set(labelled) <= set(ids) and {"main", "nav", "header", "footer"} <= tags
    assert page.all("html") == [{"lang": "en"}]
    assert all(image.get("alt") is not None and image.get("width") for image in page.all("img"))
    for picture in page.all("svg"):
        assert picture.get("aria-hidden") == "true" or (
            picture.get("role") == "img" and picture["aria-label"]
        )
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert len(text.encode()) < LIMIT
    return page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("page") / "run", names_of(6), groups=(2, 3, 6))


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return check_page(write_report(run).read_text())


def test_it_holds_all_that_it_promises(page: Page) -> None:
    ids = {attributes.get("id") for _, attributes in page.elements}
    sections = {
        "results",
        "changes",
        "groups",
        "confusion",
        "agreement",
        "trust",
        "checks",
        "training",
        "again",
    }
    assert sections <= ids
    text = page.text
    assert "nowhere" not in text.split("Run it again")[0]
    for part in ("1,250", "1.10 M", "25.5", "McNemar", "random groups of these sizes", "η₀ = 0.900"):
        assert part in text or part.replace("25.5", "26 s") in text, part
    assert "ssal train nowhere/data --seed 0 --out run" in text
    assert "ssal train --config" in text and "torch 2.14.1" in text
    # The images are gone, and the reader is told.
    assert "Without images: the model cannot be loaded" in text and not page.all("img")
    assert "Each class is a group of its own" in text
    assert "--check" in text


def test_the_same_run_gives_the_same_bytes(run: Path, page: Page, tmp_path: Path) -> None:
    written = write_report(run, tmp_path / "again.html").read_bytes()
    assert written == (run / "report.html").read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["again.html"]


def test_samples_and_evidence_are_shown_where_the_data_are(tmp_path: Path) -> None:
    run = run_with_images(tmp_path, names_of(5))
    text = write_report(run).read_text()
    page = check_page(text)
    assert "Without images" not in page.text
    images = page.all("img")
    assert sum("sample" in (image["class"] or "") for image in images) == 10
    assert sum("shot" in (image["class"] or "") for image in images) >= 2
    cards = text.count('<details class="evidence"')
    assert cards >= 2 and sum((image["class"] or "") == "map" for image in images) == 3 * cards
    assert "puts" in page.text and "favours" in page.text
    assert write_report(run).read_text() == text

    shutil.rmtree(tmp_path / "data")
    gone = check_page(write_report(run).read_text())
    assert "Without images: the data set cannot be opened" in gone.text and not gone.all("img")


def test_evidence_is_that_of_the_prediction(tmp_path: Path) -> None:
    run = run_with_images(tmp_path, names_of(5))
    gallery = open_images(read_record(run))
    files = sorted(
        (tmp_path / "data" / "test").rglob("*.png"), key=lambda file: (file.parent.name, file.name)
    )
    for index in (0, 7, 19):
        expected = ssal.load(run).explain(files[index])
        assert gallery.explain(index) == expected
        pixels = gallery.pixels(index)
        assert pixels is not None and pixels.shape == (16, 16, 1)
        np.testing.assert_array_equal(pixels, ssal.load(run).preprocess.pixels(files[index]))


def test_data_that_changed_are_not_shown(tmp_path: Path) -> None:
    run = run_with_images(tmp_path, names_of(5))
    (tmp_path / "data" / "test" / "class 0000" / "0.png").unlink()
    page = check_page(write_report(run).read_text())
    assert "not the one that was measured any more" in page.text and not page.all("img")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = made_run(tmp_path / "<b onclick=alert(5)>run", HOSTILE, groups=(2, 4), data="<i>data")
    # A name that is no UTF-8, as a file system may hold it.
    run = run.rename(tmp_path / os.fsdecode(b"<b onclick=alert(5)>\xe9\x1b[31m"))
    text = write_report(run).read_text()
    page = check_page(text)
    assert not page.all("script") and not page.all("i") and "\u202e" not in text and "x" * 100 not in text
    for shown in ("<script>alert(1)</script>", "\\u202eevil\\u2066", "{{7*7}}${7*7}", "$\\frac{a}{b}$", "…"):
        assert shown in page.text, shown
    assert "49" not in page.text.split("Run it again")[0].replace("0.49", "").replace("49.", "")[:200]
    assert "ssal explain" in page.text and "\\udce9\\x1b[31m" in page.text and "\x1b" not in text
    isolated = re.findall(r"<bdi[^>]*>", text)
    assert len(isolated) > 50


class _Noise:
    """A gallery of the pictures that compress worst, with evidence for each."""

    reason = None

    def __init__(self, names: list[str], parts: int) -> None:
        self.names, self.parts = tuple(names), parts
        self.rng = np.random.default_rng(0)

    def pixels(self, index: int) -> Any:
        return self.rng.integers(0, 256, (132, 132, 3), dtype=np.uint8)

    def explain(self, index: int) -> Any:
        heat = self.rng.random((132, 132)).astype(np.float32)
        parts = tuple(
            Part(
                tap=f"layer{number}" if number else None,
                exponent=0.3,
                predicted=number,
                members=tuple(range(5 * number, 5 * number + 5)),
                probability=0.5,
                agrees=bool(number % 2),
                terms=(-0.1, -0.2, -0.3, -0.4, -0.5),
                without=(7,),
                map=heat,
                method="CAM",
            )
            for number in range(self.parts)
        )
        logs = (-0.5, -1.0, -2.0, -3.0, -4.0)
        return Evidence((0, 1, 2, 3, 4), logs, 0.1, parts, self.names)


def test_a_thousand_classes_stay_under_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With names that grow when escaped, and pictures that do not shrink when compressed."""
    names = [f"{number:03}" + "<&'\"\u202e" * 60 for number in range(1000)]
    run = made_run(tmp_path / "run", names, groups=(200, 334, 500), per_class=50)
    monkeypatch.setattr(report_module, "open_images", lambda *_: _Noise(names, 4))
    text = write_report(run).read_text()
    page = check_page(text)
    assert 1_500_000 < len(text.encode()) < LIMIT
    images = [(image["class"] or "").split()[0] for image in page.all("img")]
    assert images.count("map") == 24 and images.count("shot") == 26 and images.count("sample") > 150
    assert all(page.text.count(f"{number:03}<&") >= 3 for number in range(1000))
    (before, after) = (picture for picture in page.all("svg") if picture["class"] == "cells")
    assert before["viewbox"] == after["viewbox"] == "0 0 334 334"


def test_groups_of_many_classes_are_not_all_listed(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", names_of(2000), groups=(1000,), per_class=1)
    section = groups(read_record(run), Gallery(None, None, "gone"), Budget(0))
    assert section is not None
    (branch,) = section.content["branches"]
    listed = len(branch.cards) + len(branch.more) + len(branch.names)
    assert listed + branch.left == 1000 and branch.left > 100 and listed > 100


def test_an_old_or_poor_run_gives_a_report_all_the_same(run: Path, tmp_path: Path) -> None:
    poor = tmp_path / "poor"
    poor.mkdir()
    for name in ("config.yaml", "metrics.json"):
        shutil.copy(run / name, poor / name)
    metrics = json.loads((poor / "metrics.json").read_text())
    for name in ("error_detection", "params", "flops", "seconds", "baseline", "LC"):
        del metrics[name]
    (poor / "metrics.json").write_text(json.dumps(metrics))
    page = check_page(write_report(poor).read_text())
    for sentence in (
        "The joint prediction is right on",
        "Left out: model/config.json is missing",
        "Left out: metrics.csv is missing or damaged",
        "Left out: confusion.npz is missing or damaged",
    ):
        assert sentence in page.text
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {"results", "checks", "again"} <= ids and not {"changes", "groups", "trust"} & ids


def test_damaged_parts_are_named_and_the_rest_is_shown(run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    for name in ("env.json", "confusion.npz", "metrics.csv"):
        (broken / name).write_bytes(b"\xff\x00{")
    metrics = json.loads((broken / "metrics.json").read_text())
    (broken / "metrics.json").write_text(json.dumps(metrics | {"selective": 3, "calibration": {"JP": []}}))
    (broken / "eval" / "explanations.json").write_text('{"parts": 1}')
    page = check_page(write_report(broken).read_text())
    for name in ("env.json", "confusion.npz", "metrics.csv", "selective", "calibration", "explanations.json"):
        assert f"Left out: {name}" in page.text, name
    assert "What the branches repaired" in page.text


def test_predictions_on_other_data_are_left_out(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    metrics = json.loads((other / "metrics.json").read_text())
    metrics["JP"]["top1"] += 1
    (other / "metrics.json").write_text(json.dumps(metrics))
    page = check_page(write_report(other).read_text())
    assert "was made on other data than metrics.json" in page.text
    assert "McNemar" not in page.text


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        ({"config.yaml": None}, ["no run in", "config.yaml is missing"]),
        ({"metrics.json": None}, ["is not finished: metrics.json is missing", "ssal train --resume"]),
        ({"metrics.json": "{"}, ["cannot read", "metrics.json"]),
        ({"metrics.json": "[1]"}, ["metrics.json holds no results of a run"]),
        (
            {"metrics.json": '{"TR": {"top1": 1}}'},
            ["metrics.json holds no results of a run: JP: field required"],
        ),
        (
            {"metrics.json": '{"TR": {"top1": 1}, "JP": {"top1": "x"}}'},
            ["JP.top1: input should be a valid number"],
        ),
        ({"metrics.json": "[" * 100_000}, ["metrics.json"]),
        ({"config.yaml": "a: [1"}, ["config.yaml is no valid YAML"]),
    ],
)
def test_what_is_no_finished_run_is_refused(
    run: Path, tmp_path: Path, damage: dict[str, str | None], parts: list[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before = b"the report of before"
    (copy / "report.html").write_bytes(before)
    for name, content in damage.items():
        (copy / name).unlink()
        if content is not None:
            (copy / name).write_text(content)
    with pytest.raises((RunError, InputError)) as refused:
        write_report(copy)
    assert all(part in str(refused.value) for part in parts), refused.value
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400
    assert (copy / "report.html").read_bytes() == before
    with pytest.raises(RunError, match="no run directory"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("joint", "headline", "where"),
    [
        (0.95, "more than the choice of test images explains", "brings"),
        (0.70, "a difference that may be chance", "lacks"),
        (0.50, "The branches cost accuracy here", "lacks"),
    ],
)
def test_the_summary_says_what_the_figures_say(
    tmp_path: Path, joint: float, headline: str, where: str
) -> None:
    right = {"baseline": 0.7, "TR": 0.7, "JP": joint, "LC": 0.4}
    run = made_run(tmp_path / "run", names_of(6), right=right, per_class=60)
    found = summarise_run(read_record(run))
    texts = [found.headline, found.trained, *found.brings, *found.lacks]
    assert not any(re.search(r"\d %", text) for text in texts)
    plain = {
        name: [text.replace("\u00a0", " ") for text in getattr(found, name)] for name in ("brings", "lacks")
    }
    summary = Summary(found.headline.replace("\u00a0", " "), found.trained, **plain)
    assert headline in summary.headline
    (accuracy,) = (sentence for sentence in getattr(summary, where) if sentence.startswith("Accuracy"))
    assert "95 % interval" in accuracy
    assert any("layer1 has an exponent of 0.000" in sentence for sentence in summary.lacks)
    assert any("less than JP, below the baseline" in sentence for sentence in summary.lacks) == (joint > 0.4)
    assert any("10.0 % more FLOPs, 25.0 % more parameters" in sentence for sentence in summary.lacks)
    for sentence in (summary.headline, summary.trained, *summary.brings, *summary.lacks):
        assert sentence.endswith(".") and "None" not in sentence and "nan" not in sentence


@pytest.mark.parametrize(
    ("groups", "settings", "said"),
    [
        ((2, 3), {}, "which predict 2 and 3 groups of classes that the baseline confuses."),
        ((2,), {"groups_from": "baseline"}, "which predict 2 groups of classes that the baseline confuses."),
        (
            (2, 6),
            {"groups_from": "training"},
            "which predict 2 groups of classes that it confuses itself, and the classes themselves.",
        ),
        ((6,), {"groups_from": "training"}, "which predict the classes themselves."),
    ],
)
def test_the_summary_says_what_the_branches_predict(
    tmp_path: Path, groups: tuple[int, ...], settings: dict[str, str], said: str
) -> None:
    run = made_run(tmp_path / "run", names_of(6), groups=groups, settings=settings)
    assert summarise_run(read_record(run)).trained.replace("\u00a0", " ").endswith(said)


@pytest.mark.parametrize(
    ("own", "said"),
    [(None, "alone (the baseline) and"), (3, "alone (the baseline) and"), (4, " in 4 epochs) and")],
)
def test_the_summary_says_where_the_baseline_has_other_epochs(
    tmp_path: Path, own: int | None, said: str
) -> None:
    run = made_run(tmp_path / "run", names_of(6), settings={"baseline_epochs": own})
    assert said in summarise_run(read_record(run)).trained.replace("\u00a0", " ")


def measured_later(run: Path) -> dict[str, Any]:
    """What newer versions and `ssal eval` find, in their form."""
    metrics = json.loads((run / "metrics.json").read_text())
    bins = {"count": [0, 40, 80], "confidence": [None, 0.5, 0.9], "accuracy": [None, 0.4, 0.95]}
    curve = {"coverage": [0.1, 0.5, 1.0], "risk": [0.0, 0.1, 0.2]}
    score = {"of": "JP", "auroc": 0.8, "aurc": 0.05, "risk_coverage": curve}
    promise = {
        "risk": 0.05,
        "confidence": 0.9,
        "images": 60,
        "possible": True,
        "threshold": 0.7,
        "coverage": 0.6,
    }
    tested = {
        "test_coverage": 0.61,
        "test_risk": 0.07,
        "test_size": 1.0,
        "test_answered": 73,
        "test_wrong": 5,
    }
    kept = {"holds": False, "kept_in_resplits": 0.93}
    impossible = {"risk": 0.01, "confidence": 0.9, "images": 60, "possible": False, "holds": None}
    group = promise | tested | {"test_size": 1.7, "holds": True, "kept_in_resplits": None}
    return {
        "data": "nowhere/data",
        "JP": metrics["JP"],
        "calibration": {
            way: {"nll": 0.5, "ece": ece, "brier": 0.3, "reliability": bins}
            for way, ece in (("TR_scaled", 2.0), ("JP", 1.5))
        },
        "likelihood_gain": {"TR_scaled": {"mean": -0.01, "low": -0.02, "high": 0.005}},
        "selective": {
            "scores": {"baseline": score | {"of": "baseline"}, "main": score, "JP": score | {"auroc": None}},
            "best": "JP",
            "gain": {"main": {"mean": 0.01, "low": -0.01, "high": 0.02}},
            "guarantee": [impossible, promise | tested | kept],
            "smallest_risk": 0.02,
        },
        "back_off": {
            "curve": [
                {"coverage": 0.5, "risk": 0.05, "size": 2.5},
                {"coverage": 1.0, "risk": 0.1, "size": 1.2},
            ],
            "guarantee": [group],
        },
        "severity": {"superclasses": 2, "baseline": 1.5, "JP": 1.4},
    }


def test_calibration_and_promises_are_shown_as_measured(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "eval" / "metrics.json").write_text(json.dumps(measured_later(run)))
    page = check_page(write_report(copy).read_text())
    text = page.text
    for part in (
        "TR, with a temperature",
        "Probabilities no better: NLL 0.500 against 0.500 of the main classifier with a fitted temperature",
        "cannot be promised",
        "61.0 %",
        "7.00 %",
        "93 %",
        "a class or a group",
        "1.70",
        "Mean of baseline 1.500 , JP 1.400 .",
        "Mistakes no milder: 40.0 % of the mistakes leave the true superclass, 50.0 % of the baseline's",
        "From 60 calibration images these cannot be promised where each answer is a class: 1 %",
    ):
        assert part in text, part
    assert "ssal eval" not in text
    # Of other data it is not the run's own: left alone.
    (copy / "eval" / "metrics.json").write_text(json.dumps(measured_later(run) | {"data": "elsewhere"}))
    assert "with a temperature" not in check_page(write_report(copy).read_text()).text


def test_checks_of_the_explanations_are_shown(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    fractions = [0.0, 0.5, 1.0]
    areas = {"map": 0.2, "random": 0.5, "centre": 0.3, "difference": 0.3}
    parts = [
        {
            "part": part,
            "method": "cam",
            "deletion": areas | {"interval": interval, "centre_interval": [-0.2, -0.1]},
            "insertion": areas | {"interval": [0.1, 0.4]},
            "curves": {
                "fractions": fractions,
                "deletion": [0.9, 0.3, 0.1],
                "deletion_random": [0.9, 0.6, 0.1],
            },
        }
        for part, interval in (("main", [0.2, 0.4]), ("layer1", [-0.1, 0.2]), ("layer2", [-0.3, -0.1]))
    ]
    stages = [
        {"randomised": "fc", "spearman": 0.4, "ssim": 0.3},
        {"randomised": "x", "spearman": None, "ssim": None},
    ]
    found = {
        "images": 48,
        "parts": parts,
        "randomisation": [{"part": "main", "stages": stages}],
        "findings": ["in deletion, <b>main</b> is better."],
    }
    (copy / "eval" / "explanations.json").write_text(json.dumps(found))
    page = check_page(write_report(copy).read_text())
    assert "In deletion, <b>main</b> is better." in page.text and "48 test images" in page.text
    rows = re.findall(
        r"(main|layer\d) 0\.200 0\.500 0\.300 \+0\.300 \S+ to \S+ (better|no difference|worse) (worse|–)",
        page.text,
    )
    against_random = [("main", "better"), ("layer1", "no difference"), ("layer2", "worse")]
    assert rows[:3] == [(*row, "worse") for row in against_random] and rows[3][2] == "–"
    assert "Maps that beat random ones in deletion and insertion: main." in page.text
    assert "both deletion and insertion: layer1, layer2." in page.text
    assert (
        "mark in the centre of the image in both deletion and insertion: main, layer1, layer2." in page.text
    )


@pytest.mark.parametrize(
    ("probability", "error", "where", "words"),
    [
        (0.8, 1.0, "brings", "Better calibrated: ECE"),
        (0.1, 70.0, "lacks", "Worse calibrated: ECE"),
        # A figure that says otherwise is not to be read beside the word.
        (0.8, 70.0, "lacks", "Calibration no better: ECE"),
    ],
)
def test_calibration_is_better_only_beyond_chance(
    tmp_path: Path, probability: float, error: float, where: str, words: str
) -> None:
    run = made_run(tmp_path / "run", names_of(6), right=dict.fromkeys(WAYS, 0.8), per_class=60)
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["JP"]["ece"] = error
    (run / "metrics.json").write_text(json.dumps(metrics))
    record = read_record(run)
    assert record.predictions is not None
    record.predictions.probabilities["JP"][:] = probability
    found = [sentence for sentence in getattr(summarise_run(record), where) if "alibrat" in sentence]
    assert len(found) == 1 and found[0].startswith(words)
    # The very same answers and probabilities are no gain.
    record.predictions.answers["JP"][:] = record.predictions.answers["TR"]
    record.predictions.answers["baseline"][:] = record.predictions.answers["TR"]
    for way in WAYS:
        record.predictions.probabilities[way][:] = 0.8
    found = [sentence for sentence in summarise_run(record).lacks if "alibrat" in sentence]
    assert len(found) == 1 and found[0].startswith("Calibration no better: ECE")


@pytest.mark.parametrize(
    ("joint", "where", "words"),
    [(1.2, "brings", "Milder mistakes: 20.0"), (1.8, "lacks", "Graver mistakes: 80.0")],
)
def test_mistakes_are_milder_only_beyond_chance(tmp_path: Path, joint: float, where: str, words: str) -> None:
    run = made_run(tmp_path / "run", names_of(6), per_class=60)
    record = read_record(run)
    record.severity.update(baseline=1.5, JP=joint)
    (found,) = (sentence for sentence in getattr(summarise_run(record), where) if "superclass" in sentence)
    assert found.startswith(words)


def comparison(runs: list[Path], out: Path) -> Page:
    return check_page(write_comparison(runs, out).read_text())


def test_runs_are_compared_on_the_same_images(run: Path, tmp_path: Path) -> None:
    better = {"baseline": 0.7, "TR": 0.9, "JP": 0.97, "LC": 0.9}
    other = made_run(
        tmp_path / "other",
        names_of(6),
        groups=(2,),
        right=better,
        settings={"lr": 0.5, "branch": {"weights": [2]}},
    )
    page = comparison([run, other], tmp_path / "c.html")
    assert "other is right most often" in page.text and "the choice of test images explains" in page.text
    assert re.search(r"branch\.weights not set 2", page.text) and re.search(r"lr not set 0\.5", page.text)
    assert "layer1 run 2 66.7 % 1.00 layer1 other 2 66.7 % 1.00" in page.text
    assert "layer3 run 6" in page.text and "layer3 other" not in page.text
    assert page.text.count("p < 0.001") >= 2
    again = write_comparison([run, other], tmp_path / "d.html").read_bytes()
    assert again == (tmp_path / "c.html").read_bytes()


def test_epochs_of_a_baseline_that_were_measured_do_not_tell_seeds_apart(tmp_path: Path) -> None:
    def runs(**changes: Any) -> list[Record]:
        made = [
            made_run(
                tmp_path / f"{'-'.join(changes)}{seed}", names_of(6), seed=seed, settings={name: seed + 3}
            )
            for name in changes
            for seed in range(2)
        ]
        return [read_record(path) for path in made]

    assert only_seeds_differ(runs(baseline_epochs=True))
    assert not only_seeds_differ(runs(epochs=True))


def test_seeds_give_a_mean_and_a_deviation(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / f"g{seed}", names_of(6), seed=seed) for seed in range(3)]
    page = comparison(runs, tmp_path / "c.html")
    figures = [json.loads((path / "metrics.json").read_text()) for path in runs]
    gains = [entry["JP"]["top1"] - entry["baseline"]["top1"] for entry in figures]
    assert f"+{np.mean(gains):.2f} ± {np.std(gains, ddof=1):.2f} points" in page.text
    top1 = [entry["JP"]["top1"] for entry in figures]
    assert f"JP {np.mean(top1):.2f} ± {np.std(top1, ddof=1):.2f}" in page.text
    low, high = sps.t.interval(0.95, 2, np.mean(gains), sps.sem(gains))
    assert f"interval of {low:+.2f} to {high:+.2f}".replace("-", "−") in page.text
    assert "Which score finds the errors?" not in page.text and "Are the maps true?" not in page.text


@pytest.mark.parametrize(
    ("branches", "main", "words"),
    [
        ((0.80, 0.81, 0.82), (0.70, 0.71, 0.72), "they help to find errors"),
        ((0.70, 0.71, 0.72), (0.80, 0.81, 0.82), "they make it harder"),
        ((0.70, 0.90, 0.75), (0.71, 0.80, 0.80), "they do not help to find errors beyond chance"),
    ],
)
def test_seeds_say_where_branches_do_not_help(
    tmp_path: Path, branches: tuple[float, ...], main: tuple[float, ...], words: str
) -> None:
    runs = [made_run(tmp_path / f"g{seed}", names_of(6), seed=seed) for seed in range(3)]
    for path, ours, alone in zip(runs, branches, main, strict=True):
        found = measured_later(path)
        scores = found["selective"]["scores"]
        scores["JP"] = scores["JP"] | {"auroc": ours}
        scores["main"] = scores["main"] | {"auroc": alone}
        # Another is better on test images, but was not chosen.
        scores["entropy"] = scores["main"] | {"auroc": 0.99}
        found["selective"]["best"] = "JP"
        (path / "eval" / "metrics.json").write_text(json.dumps(found))
        areas = {"map": alone, "random": 0.9, "centre": 0.1, "interval": [0.1, 0.2]}
        deletion = [areas | {"centre_interval": [-0.2, -0.1]}, areas | {"interval": [-0.2, 0.1]}]
        parts = [{"part": f"p{place}", "deletion": area} for place, area in enumerate(deletion)]
        (path / "eval" / "explanations.json").write_text(json.dumps({"images": 9, "parts": parts}))
    page = comparison(runs, tmp_path / "c.html")
    figures = f"AUROC {np.mean(branches):.4f} against {np.mean(main):.4f}"
    assert f"the score that held-out images chose (joint probability): {figures}" in page.text
    assert words in page.text
    assert "in each run: p0 against random maps; no part against a mark in the centre." in page.text
    assert f"p1 {np.mean(main):.3f} ± {np.std(main, ddof=1):.3f} 0.900 ± 0.000 0.100 ± 0.000" in page.text
    for figure, difference in (("NLL", "±0.0000"), ("ECE, in points", "−0.50")):
        assert f"{figure}: JP less the main classifier with a fitted temperature {difference}" in page.text


def test_each_seed_is_taken_with_the_score_that_it_chose(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / f"g{seed}", names_of(6), seed=seed) for seed in range(3)]
    for place, path in enumerate(runs):
        found = measured_later(path)
        scores = found["selective"]["scores"]
        found["selective"]["best"] = "entropy" if place == 1 else "JP"
        for name, auroc in (("JP", 0.7), ("entropy", 0.9), ("main", 0.8)):
            scores[name] = scores["main"] | {"auroc": auroc}
        (path / "eval" / "metrics.json").write_text(json.dumps(found))
    text = comparison(runs, tmp_path / "c.html").text
    assert (
        "chose (joint probability in 2 of 3 runs, " in text
        and " in 1 of 3 runs): AUROC 0.7667 against 0.8000" in text
    )


def test_runs_on_other_images_are_not_paired(run: Path, tmp_path: Path) -> None:
    fewer = made_run(tmp_path / "fewer", names_of(6), per_class=10)
    page = comparison([run, fewer], tmp_path / "c.html")
    assert "Not on the same test images as run" in page.text and "McNemar" not in page.text
    foreign = made_run(tmp_path / "foreign", names_of(5), data="elsewhere")
    page = comparison([run, foreign], tmp_path / "c.html")
    assert "their accuracies do not compare" in page.text and "McNemar" not in page.text


def test_what_cannot_be_compared_is_refused(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.html"
    with pytest.raises(InputError, match="is given twice"):
        write_comparison([run, run.parent / "." / "run"], out)
    with pytest.raises(InputError, match="2 to 8 runs can be compared, not 9"):
        write_comparison([tmp_path / str(number) for number in range(9)], out)
    with pytest.raises(RunError, match="no run directory"):
        write_comparison([run, tmp_path / "nowhere"], out)
    assert not out.exists()


def test_the_settings_shown_are_those_chosen(run: Path, page: Page) -> None:
    chosen = page.text.split("Settings that were chosen")[1].split("Versions")[0]
    assert chosen.split() == ["epochs", "3", "width", "8"]
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert all(f"{key}: {value}" in page.text for key, value in settings.items())


def test_the_summary_says_who_has_no_vote(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", names_of(6), per_class=20)
    record = read_record(run)

    def said(main: float | None, *exponents: float) -> list[str]:
        branches = [
            branch.model_copy(update={"exponent": exponent})
            for branch, exponent in zip(record.metrics.branches, exponents, strict=True)
        ]
        metrics = record.metrics.model_copy(update={"main_exponent": main, "branches": branches})
        lacks = summarise_run(replace(record, metrics=metrics)).lacks
        return [text.replace("\u00a0", " ") for text in lacks if "exponent of" in text]

    first, second = record.branch_names
    assert said(0.9, 0.2, 0.3) == said(None, 0.2, 0.3) == []
    nothing = "an exponent of 0.000: on held-out images"
    assert said(0.0, 0.2, 0.3) == [f"The main classifier has {nothing} its vote added nothing."]
    assert said(0.0, 0.0001, 0.75) == [
        f"The main classifier and {first} have {nothing} their vote added nothing "
        f"to that of {second} (0.750)."
    ]
    assert said(0.0, 0.0, 0.0) == [
        f"The main classifier, {first} and {second} have {nothing} their vote added nothing."
    ]
