"""The checks as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len, set_cell_size

from ssal.evidence.faithfulness.differences import Difference
from ssal.evidence.faithfulness.findings import findings, name_subjects
from ssal.evidence.faithfulness.results import Against, Areas, Contrast, ExplanationChecks, Subject
from ssal.evidence.table import readable

_STANDS_IN = {"blur": "a removed pixel is blurred", "mean": "a removed pixel takes the mean colour"}
_SPREAD = 25


def _interval(difference: Difference) -> str:
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def _areas(areas: Areas, *more: str) -> str:
    numbers = "".join(f"{value:8.3f}" for value in (areas.map, areas.random, areas.centre))
    spreads = [_interval(areas.over_random), _interval(areas.over_centre), *more]
    return f"{numbers}  {''.join(f'{text:{_SPREAD}}' for text in spreads)}".rstrip()


def _contrast(contrast: Contrast) -> str:
    gains = f"{contrast.gain:+8.3f}{contrast.other_gain:+8.3f}  {_interval(contrast.gain_difference)}"
    areas = f"{contrast.this:8.3f}{contrast.other:8.3f}  {_interval(contrast.difference):{_SPREAD}}"
    return f"{areas}{gains}"


def _contests(checks: ExplanationChecks, names: Mapping[Subject, str], width: int) -> list[str]:
    columns = ("better than random", "better than centre", "better than other target")
    titles = "".join(f"{text:{_SPREAD}}" for text in columns).rstrip()
    header = f"{'':{width}}{'map':>8}{'random':>8}{'centre':>8}  {titles}"
    lines = [header, "─" * len(header), "deletion: area under the curve, less is better"]
    for part in checks.parts:
        row = _areas(part.deletion, _interval(part.other.difference))
        lines.append(set_cell_size(f"  {names[part.subject]}", width) + row)
    lines.append("insertion: more is better")
    for part in checks.parts:
        lines.append(set_cell_size(f"  {names[part.subject]}", width) + _areas(part.insertion))
    return lines


def _randomisation(checks: ExplanationChecks, names: Mapping[Subject, str], width: int) -> list[str]:
    if not checks.randomisation:
        return []
    lines = [
        "",
        "rank correlation with the maps of a network whose weights are random, from the head down to",
    ]
    for cascade in checks.randomisation:
        stages = [f"{readable(stage.randomised)} {stage.spearman:.2f}" for stage in cascade.stages]
        lines.append(set_cell_size(f"  {names[cascade.subject]}", width) + ", ".join(stages))
    return lines


def _against(against: Against, names: Mapping[Subject, str], width: int) -> list[str]:
    how = f" ({against.method} groups)" if against.method else ""
    lines = [
        "",
        f"against {readable(against.run)}{how}: area under the curve, and what the map is better by than",
        "random maps, as a share of the probability at stake",
        f"{'':{width}}{'this':>8}{'other':>8}  {'better by':{_SPREAD}}{'share':>8}{'other':>8}  larger by",
    ]
    for test in ("deletion", "insertion"):
        lines.append(test)
        for part in against.parts:
            contrast = part.deletion if test == "deletion" else part.insertion
            lines.append(set_cell_size(f"  {names[part.subject]}", width) + _contrast(contrast))
    return lines


def format_checks(checks: ExplanationChecks) -> str:
    """Settings, a table of the areas, the randomised weights, and the findings."""
    head = (
        f"{checks.images} images, {checks.steps} steps, {checks.draws} random maps an image; "
        f"{_STANDS_IN[checks.baseline]}"
    )
    said = [f"- {line}" for line in findings(checks)]
    if not checks.parts:
        return "\n".join([head, "", *said])
    subjects = [part.subject for part in checks.parts]
    names = name_subjects([*subjects, *checks.without_map])
    width = 4 + max(cell_len(names[subject]) for subject in subjects)
    note = "in brackets the 95 % bootstrap interval over images; above 0 the map is better"
    lines = [head, note, "", *_contests(checks, names, width), *_randomisation(checks, names, width)]
    if checks.against is not None:
        lines += _against(checks.against, names, width)
    return "\n".join([*lines, "", *said])
