import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import ssal.backbones  # noqa: F401  (registers the names)
from ssal.evidence import Evidence, explain
from ssal.evidence.figure import draw_evidence, evidence_figure
from ssal.evidence.overlay import overlay
from ssal.evidence.table import describe_members, format_evidence, readable, verdict
from ssal.grouping import Grouping
from ssal.joint import Exponents
from ssal.model import Branch, SSALModel

from .lively import fused_model, images, small_model

NAMES = ("zero", "one", "two", "three", "four", "five", "six")


ODD = (
    "$x^2$",
    "a\x1b[31mred",
    "two\nlines",
    "\u202eturned",
    "[bold]",
    "猫",
    "a name much longer than its column",
)


def shown(names: tuple[str, ...] = NAMES) -> Evidence:
    return explain(small_model(), images(1), Exponents(1.0, (0.8, 0.5, 0.6)), names)[0]


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+\.\d+", line)]


def test_the_table_adds_up() -> None:
    evidence = shown()
    lines = format_evidence(evidence).splitlines()
    assert lines[0] == f"{evidence.class_name}  {100 * evidence.probability:.1f} %"
    top = next(index for index, line in enumerate(lines) if line.startswith("───")) + 1
    for line, part in zip(lines[top:], evidence.parts, strict=False):
        assert line.startswith(part.name)
        assert numbers(line) == pytest.approx([part.exponent, *part.terms, part.margin], abs=0.006)
        word = f"tie of {len(part.without)}" if len(part.without) > 1 else NAMES[part.without[0]]
        assert line.endswith("same" if part.without == (evidence.winner,) else word)
    total, log_probability, probability = lines[top + len(evidence.parts) :][:3]
    exact = [sum(part.terms[place] for part in evidence.parts) for place in range(5)]
    assert numbers(total) == pytest.approx([*exact, evidence.margin], abs=0.006)
    assert numbers(log_probability) == pytest.approx(evidence.log_probabilities, abs=0.006)
    assert numbers(probability) == pytest.approx([100 * value for value in evidence.probabilities], abs=0.06)
    for part in evidence.parts[1:]:
        word = "agrees" if part.agrees else "conflicts"
        members = ", ".join(describe_members(evidence, part))
        group = "" if part is evidence.parts[3] else f"group {part.predicted}: "
        assert any(
            line.startswith(part.name) and word in line and line.endswith(f" %  {group}{members}")
            for line in lines
        )


def test_the_verdict_names_what_decided_and_what_would_change() -> None:
    for evidence in explain(small_model(), images(30), class_names=NAMES):
        first, *others = verdict(evidence)
        assert evidence.decided_by.name in first and evidence.class_name in first
        for part in evidence.decisive:
            assert any(
                part.name in line and line.endswith(" or ".join(evidence.names(part.without)))
                for line in others
            )
        assert evidence.decisive or others == ["no part changed the answer by itself"]


def test_names_cannot_steer_terminal_or_picture() -> None:
    evidence = shown(ODD)
    text = format_evidence(evidence)
    assert all(character.isprintable() or character == "\n" for character in text)
    width = {len(line) for line in text.splitlines() if line.startswith("───")}
    assert len(width) == 1
    pixels = np.zeros((9, 6, 1), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_evidence(evidence, pixels).startswith(b"\x89PNG")
        assert b"<svg" in draw_evidence(evidence, pixels, "svg")
    assert readable("ab\u202ecd\x00") == "ab�cd�"
    assert readable("猫猫猫", 4) == "猫…"


def test_long_groups_are_cut_and_begin_with_the_winner() -> None:
    grouping = Grouping.from_labels([0] * 20 + [1])
    net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 21))
    with torch.no_grad():
        net[1].bias[15] = 50
    model = SSALModel(net, [Branch("0", grouping, layout="dense 8")], (4,))
    with torch.no_grad():
        model.branches[0].head.bias[0] = 50
    [evidence] = explain(model, torch.zeros(1, 4))
    words = describe_members(evidence, evidence.parts[1], limit=5)
    assert words == ["15", "0", "1", "2", "+ 16 more"]


def test_an_overlay_shows_heat_and_image() -> None:
    pixels = np.zeros((10, 20, 1), np.uint8)
    pixels[:, :10] = 255
    heat = np.zeros((10, 20), np.float32)
    cold = overlay(pixels, heat).astype(int)
    heat[2:8, 4:16] = 1
    warm = overlay(pixels, heat).astype(int)
    assert warm.shape == (130, 260, 3)
    # Cold places keep the image: bright on the left, dark on the right, without colour.
    assert cold[:, :130].min() > cold[:, 130:].max()
    assert np.ptp(cold, axis=2).max() <= 2
    brighter = warm.sum(axis=2) - cold.sum(axis=2)
    assert brighter[65, 180] > 200 and brighter[65, 250] == 0
    assert np.ptp(warm[65, 180]) > 50


def test_the_figure_has_a_panel_for_each_part() -> None:
    evidence = shown()
    figure = evidence_figure(evidence, np.zeros((9, 6, 3), np.uint8))
    pictures = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title().split("  ")[0] for axes in pictures] == [
        "image",
        "main classifier",
        "early (3 groups)",
        "early (2 groups)",
        "late",
    ]
    bars = figure.axes[-1]
    ends = [float(value) for value in bars.lines[0].get_xdata()]
    leads = [evidence.log_probabilities[0] - value for value in evidence.log_probabilities[1:]]
    assert ends == pytest.approx(leads[: len(ends)])


def test_bars_show_what_a_fused_branch_has_read() -> None:
    """Bars of a rival add up to the winner's lead, the pieces that a fused branch read of others hatched."""
    for evidence in explain(fused_model(), images(4), class_names=NAMES):
        figure = evidence_figure(evidence, np.zeros((9, 6, 1), np.uint8))
        bars = figure.axes[-1].containers
        lead = sum(container.patches[0].get_width() for container in bars if hasattr(container, "patches"))
        assert lead == pytest.approx(evidence.margin, abs=1e-5)
        hatched = {bar.get_label(): bar.patches[0] for bar in bars if bar.patches[0].get_hatch()}
        fused, names = evidence.parts[3], [evidence.parts[1].name, evidence.parts[4].name]
        assert list(hatched) == [f"{name}, fused" for name in names]
        for patch, share in zip(hatched.values(), fused.shares, strict=False):
            assert patch.get_width() == pytest.approx(share.leads[1], abs=1e-5)
        colours = [bar.patches[0].get_facecolor() for bar in bars]
        assert next(iter(hatched.values())).get_facecolor() == colours[1]
        (rest,) = (bar.patches[0] for bar in bars if bar.get_label() == "fused (late), the rest")
        assert rest.get_width() == pytest.approx(sum(s.leads[1] for s in fused.shares[2:]), abs=1e-5)
        captions = [axes.get_xlabel() for axes in figure.axes]
        first = evidence.parts[1]
        assert captions[4] == f"CAM for {NAMES[first.predicted]}"
        assert captions[6] == f"Grad-CAM for group {evidence.parts[2].predicted}"
