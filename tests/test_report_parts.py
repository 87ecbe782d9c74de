"""The parts of the report: numbers, colours, pictures, and what is chosen to be shown."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import binom
from sklearn.calibration import calibration_curve

from ssal.errors import RunError
from ssal.evidence import explain
from ssal.grouping import Grouping
from ssal.report import theme
from ssal.report.budget import Budget
from ssal.report.charts import Line, draw_lines, name_ends, new_chart, spread, thinned
from ssal.report.evidence_card import evidence_card
from ssal.report.matrix import class_order, matrix_picture
from ssal.report.names import class_name, class_names, clipped
from ssal.report.page import content_security_policy, style_sheet
from ssal.report.paired import compare_paired
from ssal.report.predictions import Predictions, read_predictions
from ssal.report.reading import read_record
from ssal.report.sections.agreement import levels
from ssal.report.sections.changes import choose, steps
from ssal.report.sections.confusion import chance_share, confused_pairs
from ssal.report.sections.groups import samples
from ssal.report.sections.reliability import reliability
from ssal.report.sections.training import time_chart
from ssal.report.svg import inline_svg
from ssal.report.thumbnails import picture, thumbnail
from ssal.report.words import summarise_run

from .lively import fused_model, images
from .made_runs import made_run, names_of

READABLE, VISIBLE = 4.5, 3.0


@pytest.mark.parametrize("colours", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_texts_and_lines_stand_out_from_what_is_behind_them(colours: dict[str, str]) -> None:
    for name, grounds in theme.READ_ON.items():
        for ground in grounds:
            assert theme.contrast(colours[name], colours[ground]) >= READABLE, (name, ground)
    for name in (*theme.SERIES, "good", "bad", "accent"):
        for ground in ("paper", "card"):
            assert theme.contrast(colours[name], colours[ground]) >= VISIBLE, (name, ground)


def test_contrast_is_that_of_the_guidelines() -> None:
    # The examples that everybody quotes.
    assert theme.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert theme.contrast("#ffffff", "#0000ff") == pytest.approx(8.59, abs=0.005)


def test_the_style_uses_the_colours_of_the_theme_and_nothing_from_outside() -> None:
    style = style_sheet()
    used = set(re.findall(r"var\(--([\w-]+)\)", style))
    assert used - {"sans", "serif", "mono"} <= set(theme.LIGHT) == set(theme.DARK)
    assert len(set(theme.LIGHT.values())) == len(theme.LIGHT)
    assert "url(" not in style and "@import" not in style and "</" not in style
    assert style.count("{") == style.count("}") and "{{" not in style and "{%" not in style


def test_the_policy_lets_only_this_style_pass() -> None:
    policy = content_security_policy("a")
    digest = "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs="
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "script" not in policy


def drawn(label: str = "x") -> Figure:
    figure, axes = new_chart()
    line = Line(label, [1, 2, 3], [1.0, 5.0, 2.0], "JP")
    draw_lines(axes, [line])
    axes.plot([1, 3], [2, 2], "o", color=theme.colour("bad"))
    name_ends(axes, [line])
    return figure


def test_a_picture_has_no_style_of_its_own() -> None:
    svg = str(inline_svg(drawn(), "one", 'say "this" <b>'))
    assert svg.startswith("<svg ") and 'role="img"' in svg
    assert 'aria-label="say &quot;this&quot; &lt;b&gt;"' in svg
    for forbidden in ("style", "font-family", "<defs><style", "xlink", "metadata", "http", "url("):
        assert forbidden not in svg
    assert "var(--JP)" in svg and "var(--bad)" in svg and "var(--soft)" in svg
    assert not re.search(r"#[0-9a-f]{6}", svg)
    linked = set(re.findall(r'href="#([^"]+)"', svg))
    assert linked and linked == set(re.findall(r' id="([^"]+)"', svg)) - {"chart-one"}
    assert all(name.startswith("one-") for name in linked)


def test_the_same_picture_gives_the_same_characters_and_names_stay_text() -> None:
    hostile = "</svg><script>$x$"
    first, second = (str(inline_svg(drawn(hostile), "one", "x")) for _ in range(2))
    assert first == second
    assert "&lt;/svg&gt;&lt;script&gt;$x$" in first and "<script" not in first
    assert len(first) < 6000


@pytest.mark.parametrize(
    "stages", [{"joint": 1.0}, {"joint": 1.0, "test": 0.0}, {"joint": 60.0, "test": 1.0}]
)
def test_the_times_of_one_stage_are_a_chart_too(stages: dict[str, float]) -> None:
    chart = time_chart(stages, " said of a baseline")
    assert chart is not None and "joint training" in str(chart) and "said of" not in str(chart)
    with_baseline = time_chart({**stages, "baseline": 2.0}, " said of a baseline")
    assert "said of a baseline" in str(with_baseline)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=9), st.floats(1, 40))
def test_names_of_lines_do_not_touch_and_keep_their_order(heights: list[float], gap: float) -> None:
    places = spread(heights, gap)
    order = np.argsort(heights, kind="stable")
    moved = np.array(places)[order]
    assert (np.diff(moved) >= gap - 1e-6).all()
    assert np.mean(places) == pytest.approx(np.mean(heights), abs=1e-6)
    if (np.diff(np.array(heights)[order]) >= gap).all():
        assert places == pytest.approx(heights)


@given(st.integers(1, 1000), st.integers(2, 200))
def test_thinning_keeps_both_ends(length: int, count: int) -> None:
    places = thinned([0.0] * length, count)
    assert places[0] == 0 and places[-1] == length - 1
    assert len(places) <= count and places == sorted(set(places))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 200))
def test_paired_figures_agree_with_mcnemar_and_the_theory(repaired: int, caused: int, same: int) -> None:
    first = np.array([False] * repaired + [True] * caused + [True] * same)
    second = np.array([True] * repaired + [False] * caused + [True] * same)
    found = compare_paired(first, second)
    changed = repaired + caused
    assert (found.repaired, found.caused) == (repaired, caused)
    assert found.difference == pytest.approx(100 * (second.mean() - first.mean()))
    expected = min(1.0, 2 * binom.cdf(min(repaired, caused), changed, 0.5))
    assert found.p_value == pytest.approx(expected)
    low, high = found.interval
    assert low <= found.difference <= high
    # One verdict, whichever figure is looked at.
    assert (low > 0) == found.better and (high < 0) == found.worse
    assert (found.better or found.worse) == (found.p_value < 0.05)


def test_the_interval_is_close_to_that_of_resampling_the_samples() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.random(400) < 0.7, rng.random(400) < 0.75
    differences = second.astype(float) - first
    means = [100 * rng.choice(differences, 400).mean() for _ in range(4000)]
    assert compare_paired(first, second).interval == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.8)
    unchanged = compare_paired(first, first)
    assert (unchanged.p_value, unchanged.interval) == (1.0, (0.0, 0.0))
    assert not unchanged.better and not unchanged.worse


def decoded(uri: str) -> Image.Image:
    head, _, content = uri.partition(",")
    assert re.fullmatch(r"data:image/(png|webp);base64", head)
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_the_matrix_shows_errors_where_they_are() -> None:
    target = np.array([0, 0, 1, 1, 2, 3])
    answers = np.array([0, 1, 1, 1, 2, 0])
    grouping = Grouping.from_labels([0, 1, 1, 0])
    order = np.array([0, 3, 1, 2])
    found = matrix_picture(answers, target, order, grouping)
    pixels = np.asarray(decoded(found.uri).convert("RGBA"))
    assert pixels.shape == (4, 4, 4) and found.side == 4
    filled = pixels[:, :, 3] > 0
    # Class 3 has only errors; class 2 was never an answer but for its own.
    assert filled.tolist() == [
        [True, False, True, False],
        [True, False, False, False],
        [False, False, True, False],
        [False, False, False, True],
    ]
    coloured = pixels[:, :, 0] > pixels[:, :, 2]
    assert np.argwhere(coloured).tolist() == [[0, 2], [1, 0]]
    assert pixels[1, 0, 3] == 255 and pixels[0, 2, 3] == 255
    assert found.blocks == "M0 0h2v2h-2zM2 2h2v2h-2z"


def test_many_classes_share_cells_and_memory_stays_small() -> None:
    classes = 50_000
    target = np.arange(classes)
    answers = target.copy()
    answers[7] = 49_999
    found = matrix_picture(answers, target, np.arange(classes), None)
    pixels = np.asarray(decoded(found.uri).convert("RGBA"))
    assert found.side == pixels.shape[0] == 400 and found.blocks == ""
    assert np.argwhere(pixels[:, :, 0] > pixels[:, :, 2]).tolist() == [[0, 399]]
    assert (pixels[np.arange(400), np.arange(400), 3] > 0).all()


@given(st.integers(0, 1000))
def test_classes_of_a_group_stand_together_the_worst_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groupings = [Grouping.random(12, k, seed) for k in (6, 3, 12)]
    errors = rng.integers(0, 20, 12)
    order = class_order(groupings, errors)
    assert sorted(order) == list(range(12))
    for grouping in groupings[:2]:
        runs = grouping.labels[order]
        if grouping.num_groups == 3:
            assert np.count_nonzero(np.diff(runs)) == 2
            sums = np.bincount(grouping.labels, weights=errors)[runs[[0, 4, 8]]]
            assert (np.diff(sums) <= 0).all()


def test_chance_is_the_mean_over_random_groups() -> None:
    rng = np.random.default_rng(0)
    confusion = rng.random((9, 9))
    shares = [Grouping.random(9, 4, seed).share(confusion) for seed in range(600)]
    assert chance_share(Grouping.random(9, 4)) == pytest.approx(np.mean(shares), rel=0.05)


def test_reliability_agrees_with_sklearn() -> None:
    rng = np.random.default_rng(1)
    probability = rng.random(500)
    right = rng.random(500) < probability
    found = reliability(probability, right)
    accuracy, confidence = calibration_curve(right, probability, n_bins=15)
    kept = [place for place, count in enumerate(found.count) if count]
    assert [found.accuracy[place] for place in kept] == pytest.approx(accuracy)
    assert [found.confidence[place] for place in kept] == pytest.approx(confidence)
    assert sum(found.count) == 500
    empty = reliability(np.array([1.0, 0.0]), np.array([True, False]))
    assert empty.accuracy[5] is None and (empty.accuracy[0], empty.accuracy[-1]) == (0.0, 1.0)


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> Predictions:
    run = made_run(tmp_path_factory.mktemp("parts") / "run", names_of(6), per_class=40)
    return read_predictions(run / "eval" / "predictions.parquet", names_of(6))


@pytest.mark.parametrize("repaired", [True, False])
def test_changes_are_real_and_those_of_the_vote_come_first(predictions: Predictions, repaired: bool) -> None:
    base, main, joint = (predictions.right(way) for way in ("baseline", "TR", "JP"))
    chosen = choose(predictions, repaired=repaired, count=30)
    everything = choose(predictions, repaired=repaired, count=10_000)
    possible = (joint & ~(base & main)) if repaired else (~joint & (base | main))
    assert sorted(row for row, _ in everything) == np.flatnonzero(possible).tolist()
    assert everything[:30] == chosen
    votes = [vote for _, vote in everything]
    assert votes == sorted(votes, reverse=True) and any(votes) and not all(votes)
    for row, vote in everything:
        assert vote == (main[row] != joint[row])
    pairs = [predictions.target[row] for row, vote in everything if vote]
    assert len(set(pairs[:6])) == 6


def test_the_steps_are_counted(predictions: Predictions) -> None:
    base, main, joint = (predictions.right(way) for way in ("baseline", "TR", "JP"))
    first, second, third = steps(predictions)
    assert first.paired.repaired == int((~base & main).sum())
    assert second.paired.caused == int((main & ~joint).sum())
    assert third.paired.difference == pytest.approx(first.paired.difference + second.paired.difference)


def test_a_sample_is_the_one_that_the_network_is_surest_of(predictions: Predictions) -> None:
    found = samples(predictions)
    assert sorted(found) == list(range(6))
    for index, number in found.items():
        row = int(np.flatnonzero(predictions.index == number)[0])
        rivals = (predictions.target == index) & predictions.right("JP")
        assert predictions.target[row] == index and predictions.right("JP")[row]
        assert predictions.probabilities["JP"][row] == predictions.probabilities["JP"][rivals].max()


def test_agreement_is_counted_level_by_level(predictions: Predictions) -> None:
    found = levels(predictions)
    right = predictions.right("JP")
    assert sum(level.images for level in found) == len(predictions)
    for level in found:
        chosen = right[predictions.agreement == level.agreeing]
        assert level.accuracy == pytest.approx(100 * chosen.mean())
        assert level.interval[0] <= level.accuracy <= level.interval[1]


@pytest.mark.parametrize("telling", [True, False])
def test_agreement_is_called_a_warning_only_where_it_tells_right_from_wrong(
    tmp_path: Path, telling: bool
) -> None:
    record = read_record(made_run(tmp_path / "run", names_of(6), per_class=40))
    assert record.predictions is not None
    branches, right = len(record.predictions.groups), record.predictions.right("JP")
    agreement = np.where(right == telling, branches, 0)
    changed = replace(record, predictions=replace(record.predictions, agreement=agreement))
    summary = summarise_run(changed)
    wanted, other = (summary.brings, summary.lacks) if telling else (summary.lacks, summary.brings)
    begins = "A warning with every prediction" if telling else "Agreement of the branches does not tell"
    assert sum(sentence.startswith(begins) for sentence in wanted) == 1
    assert not any("agree with the answer" in sentence for sentence in other)


def test_the_card_shows_what_a_fused_branch_has_read() -> None:
    names = tuple("abcdefg")
    for found in explain(fused_model(), images(4), class_names=names):
        rival = found.candidates[2]
        card = evidence_card(found, np.zeros((9, 6, 1), np.uint8), rival, Budget(10**6))
        assert [len(part.shares) for part in card.parts] == [0, 0, 0, 4, 0]
        fused = card.parts[3]
        others = [card.parts[1].name, card.parts[4].name]
        assert [share.name for share in fused.shares] == [*others, "its own features", "bias"]
        assert sum(share.lead for share in fused.shares) == pytest.approx(fused.lead, abs=1e-5)
        assert fused.lead == found.parts[3].terms[0] - found.parts[3].terms[2]
        bars = [part.bar for part in card.parts] + [share.bar for share in fused.shares] + [card.bar]
        assert max(bar.length for bar in bars) == pytest.approx(50)
        assert all(bar.start >= 0 and bar.start + bar.length <= 100.001 for bar in bars)


def test_the_most_confused_pairs_are_counted_by_all_ways(predictions: Predictions) -> None:
    grouping = Grouping.from_labels([0, 0, 1, 1, 2, 2])
    pairs = confused_pairs(predictions, ["baseline", "JP"], [("a", grouping), ("b", grouping)], names_of(6))
    counts = [pair.counts[0] for pair in pairs]
    assert counts == sorted(counts, reverse=True)
    target, base, joint = predictions.target, predictions.answers["baseline"], predictions.answers["JP"]
    expected = {
        (f"class {i:04}", f"class {j:04}"): (
            int(((target == i) & (base == j)).sum()),
            int(((target == i) & (joint == j)).sum()),
        )
        for i in range(6)
        for j in range(6)
        if i != j
    }
    for pair in pairs:
        true, given_ = (re.sub("<[^>]+>", "", str(name)) for name in (pair.true, pair.given))
        assert pair.counts == expected[true, given_]
        together = int(true[-1]) // 2 == int(given_[-1]) // 2
        assert pair.together == ("both branches" if together else "none")


def test_predictions_of_other_classes_are_refused(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", names_of(4))
    path = run / "eval" / "predictions.parquet"
    with pytest.raises(RunError, match="a class that the model does not know: 'class 0003'"):
        read_predictions(path, names_of(3))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match="cannot read"):
        read_predictions(path, names_of(4))
    path.unlink()
    with pytest.raises(RunError, match="is missing"):
        read_predictions(path, names_of(4))


def test_thumbnails_are_small_and_stop_with_the_budget() -> None:
    rng = np.random.default_rng(0)
    letter = np.zeros((28, 28, 1), np.uint8)
    letter[4:24, 12:16] = 255
    small = thumbnail(letter, 72, Budget(10_000))
    assert small is not None and small.pixelated and decoded(small.uri).size == (28, 28)
    assert len(small.uri) < 300
    np.testing.assert_array_equal(np.asarray(decoded(small.uri).convert("L")), letter[:, :, 0])
    photo = rng.integers(0, 256, (300, 200, 3), dtype=np.uint8)
    large = thumbnail(photo, 72, Budget(100_000))
    assert large is not None and not large.pixelated
    assert decoded(large.uri).size == (large.width, large.height) == (48, 72)
    assert thumbnail(photo, 72, Budget(100)) is None
    heat = picture(photo, 132, Budget(100_000))
    assert heat is not None and max(heat.width, heat.height) == 132


def test_names_are_cut_isolated_and_shown_by_their_code() -> None:
    assert str(class_name("<i>&'\"")) == '<bdi class="name">&lt;i&gt;&amp;&#39;&#34;</bdi>'
    assert str(class_name("\u202ecat")) == '<bdi class="name">\\u202ecat</bdi>'
    assert str(class_name("  ")) == '<bdi class="name">(blank)</bdi>'
    assert len(clipped("x" * 10_000)) == 60 and clipped("\x00" * 300).endswith("…")
    assert str(class_names(["a", "b", "c"], 2)).endswith("</bdi> + 1 more")
