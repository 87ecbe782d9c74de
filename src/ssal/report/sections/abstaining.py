"""Curves of prediction that may abstain, or answer with a group."""

from __future__ import annotations

from collections.abc import Sequence

from ssal.report.charts import Line, draw_lines, label_axes, name_ends, new_chart, thinned
from ssal.report.names import clipped
from ssal.report.numbers import decimals
from ssal.report.schema import BackOffPoint, RiskCoverage, Score
from ssal.report.section import Chart
from ssal.report.svg import inline_svg
from ssal.report.theme import LIGHT, SERIES

# Of the first few samples the error rate is all or nothing: a curve starts where it means something.
_FIRST = 0.05
_LINES = 5
# Of many scores, those that answer whether the branches help; then what is left.
_WANTED = ("JP", "main", "baseline", "agreement_JP", "energy")
_SHORT = {"agreement_JP": "agreement", "combination": "combined"}


def _points(curve: RiskCoverage) -> tuple[list[float], list[float]]:
    """Coverage and risk in percent, thinned."""
    kept = [(x, y) for x, y in zip(curve.coverage, curve.risk, strict=False) if y is not None and x >= _FIRST]
    places = thinned([x for x, _ in kept]) if kept else []
    return [100 * kept[place][0] for place in places], [100 * kept[place][1] for place in places]


def _shown(scores: dict[str, Score], best: str | None) -> list[str]:
    """The names of the scores to draw; all of them would be a tangle."""
    order = [name for name in (best, *_WANTED, *scores) if name is not None and name in scores]
    drawn = [name for name in dict.fromkeys(order) if scores[name].risk_coverage is not None]
    return drawn[:_LINES]


def risk_chart(scores: dict[str, Score], best: str | None) -> Chart | None:
    """Error rate among the answers against the share of images that are answered."""
    lines: list[Line] = []
    shown = _shown(scores, best)
    taken = {"TR" if name == "main" else name for name in shown}
    tones = iter([tone for tone in SERIES if tone not in taken])
    for name in shown:
        curve = scores[name].risk_coverage
        if curve is None:
            continue
        x, y = _points(curve)
        tone = name if name in LIGHT else "TR" if name == "main" else next(tones)
        lines.append(Line(clipped(_SHORT.get(name, name), 12), x, y, tone))
    lines = [line for line in lines if line.x]
    if not lines:
        return None
    figure, axes = new_chart(360, 240, right=84)
    draw_lines(axes, lines)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, 100)
    label_axes(axes, "images answered, %", "errors among the answers, %")
    name_ends(axes, lines)
    spoken = "; ".join(f"{line.name}: {decimals(line.y[-1])} % of all" for line in lines)
    return Chart(
        "If only the sure images are answered",
        inline_svg(figure, "risk", f"Risk against coverage. {spoken}"),
        "The less sure images are left out first. The lower a line, the better its score finds the errors.",
    )


def back_off_chart(points: Sequence[BackOffPoint], joint: Score | None) -> Chart | None:
    """Error rate when an unsure class may be answered by its group, against answers of a class only."""
    kept = [(point.coverage, point.risk) for point in points if point.risk is not None]
    kept = [(x, y) for x, y in kept if x >= _FIRST]
    if not kept:
        return None
    lines = [Line("or a group", [100 * x for x, _ in kept], [100 * y for _, y in kept], "JP")]
    if joint is not None and joint.risk_coverage is not None:
        lines.append(Line("a class", *_points(joint.risk_coverage), "baseline"))
    figure, axes = new_chart(360, 240, right=84)
    draw_lines(axes, lines)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, 102)
    label_axes(axes, "images answered, %", "errors among the answers, %")
    name_ends(axes, lines)
    spoken = f"at the end {decimals(lines[0].y[-1])} % of {decimals(lines[0].x[-1], 1)} % answered"
    return Chart(
        "If an unsure class may be answered by its group",
        inline_svg(figure, "back-off", f"Risk against coverage with groups as answers: {spoken}"),
        "An answer counts as right if it holds the true class.",
    )


def answer_size_chart(points: Sequence[BackOffPoint]) -> Chart | None:
    """How many classes an answer holds on average, against the share of images that are answered."""
    kept = [(100 * point.coverage, point.size) for point in points if point.size is not None]
    if not kept:
        return None
    line = Line("classes", [x for x, _ in kept], [y for _, y in kept], "JP")
    figure, axes = new_chart(360, 240, right=84)
    draw_lines(axes, [line])
    axes.set_ylim(bottom=min(1.0, *line.y))
    axes.set_xlim(0, 102)
    label_axes(axes, "images answered, %", "classes in an answer, mean")
    name_ends(axes, [line])
    spoken = f"{decimals(line.y[-1])} classes at {decimals(line.x[-1], 1)} % answered"
    return Chart(
        "What that costs: larger answers",
        inline_svg(figure, "answer-size", f"Mean size of the answers: {spoken}"),
        "The surer an answer must be, the more often it is a group.",
    )
