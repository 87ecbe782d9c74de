"""Sentences on the branches: agreement, groups, maps, votes and cost."""

from __future__ import annotations

from collections.abc import Callable

from ssal.report.names import clipped
from ssal.report.numbers import decimals, duration, share
from ssal.report.reading import Record
from ssal.report.schema import Area, Explanations
from ssal.report.sections.agreement import levels
from ssal.report.sections.confusion import chance_share
from ssal.report.words.chance import more_often
from ssal.report.words.summary import Summary

# Exponents below this are shown as 0.000: what such a branch says moves no answer that is not a tie.
_SILENT = 5e-4


def say_branches(record: Record, summary: Summary) -> None:
    """Add what there is to say of agreement, groups, maps, exponents, linear combination and cost."""
    for part in (_agreement, _groups, _maps, _branches, _combination, _cost):
        part(record, summary)


def _agreement(record: Record, summary: Summary) -> None:
    predictions = record.predictions
    if predictions is None or not predictions.groups:
        return
    found, branches = levels(predictions), len(predictions.groups)
    full = next((level for level in found if level.agreeing == branches), None)
    others = [level for level in found if level.agreeing < branches]
    if full is not None and others:
        rest = sum(level.images for level in others)
        right = sum(level.accuracy * level.images for level in others) / rest
        everyone = "all branches agree" if branches > 1 else "the branch agrees"
        figures = (
            f"where {everyone} with the answer ({share(full.images, len(predictions))} of the images) it is "
            f"right in {decimals(full.accuracy, 1)} %, elsewhere in {decimals(right, 1)} %."
        )
        if more_often((full.accuracy, full.images), (right, rest)):
            summary.brings.append(f"A warning with every prediction: {figures}")
        else:
            summary.lacks.append(f"Agreement of the branches does not tell right from wrong: {figures}")


def _groups(record: Record, summary: Summary) -> None:
    if record.confusion is None:
        return
    useful = [
        (branch, grouping)
        for branch, grouping in zip(record.metrics.branches, record.groupings, strict=False)
        if grouping.num_groups < len(grouping.labels)
    ]
    if not useful:
        return
    branch, grouping = min(useful, key=lambda pair: pair[1].num_groups)
    summary.brings.append(
        f"Groups to look at: the {branch.num_groups} groups of {clipped(branch.tap, 24)} hold "
        f"{100 * grouping.share(record.confusion):.1f} % of the confusion that they were made from; random "
        f"groups of these sizes would hold {100 * chance_share(grouping):.1f} %."
    )


def _maps(record: Record, summary: Summary) -> None:
    if record.explanations is None:
        return
    good, poor = _beating(record.explanations, lambda area: area.verdict)
    if good:
        summary.brings.append(f"Maps that beat random ones in deletion and insertion: {', '.join(good)}.")
    if poor:
        summary.lacks.append(
            f"Maps that do not beat random ones in both deletion and insertion: {', '.join(poor)}."
        )
    # Most subjects are in the middle: a map that finds no more than that is little of an explanation.
    _, central = _beating(record.explanations, lambda area: area.centre_verdict)
    if central:
        summary.lacks.append(
            "Maps that do not beat a mark in the centre of the image in both deletion and insertion: "
            f"{', '.join(central)}."
        )


def _beating(checks: Explanations, verdict: Callable[[Area], str]) -> tuple[list[str], list[str]]:
    """The parts whose map is better in all that was tested, and those whose is not."""
    found: tuple[list[str], list[str]] = ([], [])
    for part in checks.parts:
        words = [verdict(area) for area in (part.deletion, part.insertion) if area is not None]
        tested = [word for word in words if word]
        if tested:
            found[any(word != "better" for word in tested)].append(clipped(part.part, 24))
    return found


def _branches(record: Record, summary: Summary) -> None:
    """Parts without a vote and, where these are several, who has the loudest."""
    main = record.metrics.main_exponent
    voices = [("the main classifier", 1.0 if main is None else main)]
    voices += [
        (clipped(name, 24), branch.exponent)
        for name, branch in zip(record.branch_names, record.metrics.branches, strict=False)
    ]
    silent = [name for name, exponent in voices if exponent < _SILENT]
    if not silent:
        return
    names = silent[0] if len(silent) == 1 else f"{', '.join(silent[:-1])} and {silent[-1]}"
    verb, whose = ("has", "its") if len(silent) == 1 else ("have", "their")
    text = f"{names} {verb} an exponent of 0.000: on held-out images {whose} vote added nothing"
    loudest, exponent = max(voices, key=lambda voice: voice[1])
    if len(silent) > 1 and loudest not in silent:
        text += f" to that of {loudest} ({exponent:.3f})"
    summary.lacks.append(f"{text[0].upper()}{text[1:]}." if voices[0][1] < _SILENT else f"{text}.")


def _combination(record: Record, summary: Summary) -> None:
    metrics = record.metrics
    if metrics.LC is not None and metrics.LC.top1 < metrics.JP.top1:
        than = (
            ""
            if metrics.baseline is None or metrics.LC.top1 >= metrics.baseline.top1
            else ", below the baseline"
        )
        summary.lacks.append(
            f"The learned linear combination (LC) gets {decimals(metrics.LC.top1)} %, less than JP{than}."
        )


def _cost(record: Record, summary: Summary) -> None:
    metrics = record.metrics
    texts: list[str] = []
    for name, values in (("FLOPs", metrics.flops), ("parameters", metrics.params)):
        before, after = values.get("TR"), values.get("JP")
        if before and after:
            texts.append(f"{100 * (after / before - 1):.1f} % more {name}")
    before, after = (metrics.seconds.get(way) for way in ("baseline", "JP"))
    if before and after:
        texts.append(
            f"{after / before:.1f} times the training time ({duration(after)} instead of {duration(before)})"
        )
    if texts:
        summary.lacks.append(f"Cost: {', '.join(texts)}.")
