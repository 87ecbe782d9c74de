"""Are the explanations true: deletion, insertion and random weights, as `ssal explain --check` finds them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ssal.report.charts import Line, draw_lines, label_axes, name_ends, new_chart
from ssal.report.names import clipped
from ssal.report.numbers import decimals
from ssal.report.reading import Record
from ssal.report.schema import Area, PartCheck, RandomisedPart
from ssal.report.section import Chart, Section
from ssal.report.svg import inline_svg
from ssal.report.theme import SERIES, colour
from ssal.text import visible

_MAPS = {"": ("map", "JP"), "_random": ("random", "baseline"), "_centre": ("centre", "LC")}


def _contests(parts: Sequence[PartCheck], test: str) -> list[tuple[str, Area]]:
    areas: list[tuple[PartCheck, Area | None]] = [(part, getattr(part, test)) for part in parts]
    return [(clipped(part.part, 24), area) for part, area in areas if area is not None]


def _curves(check: PartCheck, test: str, number: int) -> Chart | None:
    fractions = check.curves.get("fractions")
    if not fractions:
        return None
    lines = [
        Line(name, [100 * x for x in fractions], [100 * y for y in values], tone)
        for suffix, (name, tone) in _MAPS.items()
        if (values := check.curves.get(test + suffix)) and len(values) == len(fractions)
    ]
    if not lines:
        return None
    figure, axes = new_chart(230, 175, right=54, left=34)
    draw_lines(axes, lines)
    axes.set_ylim(0, max(max(line.y) for line in lines) * 1.04)
    axes.set_xlim(0, 100)
    axes.set_xticks((0, 50, 100))
    label_axes(axes, "removed, %" if test == "deletion" else "shown, %", "probability, %")
    name_ends(axes, lines, at=len(fractions) // 2)
    spoken = "; ".join(f"{line.name} {decimals(line.y[len(line.y) // 2], 1)} %" for line in lines)
    title = clipped(check.part, 24)
    return Chart(
        title, inline_svg(figure, f"{test}-{number}", f"{test} for {title}, in the middle: {spoken}")
    )


def _randomisation(parts: Sequence[RandomisedPart]) -> Chart | None:
    lines = [
        Line(
            clipped(part.part, 10),
            list(range(1, len(part.stages) + 1)),
            [float("nan") if stage.spearman is None else stage.spearman for stage in part.stages],
            tone,
        )
        for part, tone in zip(parts, SERIES * len(parts), strict=False)
        if part.stages
    ]
    if not lines:
        return None
    figure, axes = new_chart(340, 225, right=74)
    axes.axhline(0, color=colour("soft"), linewidth=1)
    for line in lines:
        axes.plot(line.x, line.y, "o", color=colour(line.colour), markersize=4)
    draw_lines(axes, lines)
    axes.set_ylim(top=max(1.0, axes.get_ylim()[1]))
    axes.set_xticks(range(1, max(len(line.x) for line in lines) + 1))
    label_axes(axes, "layers made random, head first", "rank correlation")
    name_ends(axes, lines)
    spoken = "; ".join(f"{line.name} {decimals(line.y[-1])} at the end" for line in lines)
    return Chart(
        "Maps of a network whose weights are random",
        inline_svg(
            figure, "randomisation", f"Rank correlation with the map of the trained network: {spoken}"
        ),
        "Against the maps of the trained network. A map that shows what was learnt does not stay alike.",
    )


def checks(record: Record) -> Section:
    """The section on the explanations; says how to make the checks where there are none."""
    found = record.explanations
    if found is None or not found.parts:
        command = visible(f"ssal explain {shlex.quote(str(record.path))} --check", keep="")
        return Section(
            "checks", "Are the explanations true?", "Explanations", {"found": None, "command": command}
        )
    charts = {
        test: [
            chart
            for number, check in enumerate(found.parts)
            if (chart := _curves(check, test, number)) is not None
        ]
        for test in ("deletion", "insertion")
    }
    return Section(
        "checks",
        "Are the explanations true?",
        "Explanations",
        {
            "found": found,
            "charts": charts,
            "contests": {test: _contests(found.parts, test) for test in ("deletion", "insertion")},
            "randomisation": _randomisation(found.randomisation),
            "findings": [
                clipped(f"{sentence[:1].upper()}{sentence[1:]}", 600) for sentence in found.findings
            ],
        },
    )
