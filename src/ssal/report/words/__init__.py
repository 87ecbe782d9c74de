"""The run in plain sentences: what was trained, what the branches bring, and where they do not help."""

from __future__ import annotations

from ssal.report.names import clipped
from ssal.report.numbers import decimals, plural, tied
from ssal.report.reading import Record
from ssal.report.words.answers import say_answers
from ssal.report.words.branches import say_branches
from ssal.report.words.chance import joint_against_baseline
from ssal.report.words.summary import Summary

__all__ = ["Summary", "summarise_run"]


def summarise_run(record: Record) -> Summary:
    """Put the figures of a run into words."""
    summary = Summary(_headline(record), _trained(record))
    say_answers(record, summary)
    say_branches(record, summary)
    return Summary(
        tied(summary.headline),
        tied(summary.trained),
        [tied(sentence) for sentence in summary.brings],
        [tied(sentence) for sentence in summary.lacks],
    )


def _headline(record: Record) -> str:
    baseline, joint = record.metrics.baseline, record.metrics.JP
    if baseline is None:
        return f"The joint prediction is right on {decimals(joint.top1)} % of the test images."
    paired = joint_against_baseline(record)
    figures = f"{decimals(joint.top1)} % of the test images right instead of {decimals(baseline.top1)} %"
    if paired is None:
        return f"With branches the network gets {figures}."
    if paired.better:
        return f"With branches the network gets {figures}: more than the choice of test images explains."
    if paired.worse:
        return f"The branches cost accuracy here: the network gets {figures}."
    return f"With branches the network gets {figures}: a difference that may be chance."


def _trained(record: Record) -> str:
    settings, branches = record.settings, record.metrics.branches
    width = settings.get("width")
    model = clipped(record.model_name, 40) + (f" of width {width}" if width else "")
    read = list(dict.fromkeys(clipped(branch.tap, 24) for branch in branches))
    taps = " and ".join(part for part in (", ".join(read[:-1]), *read[-1:]) if part)
    count = record.summed.count(False)
    epochs = settings.get("epochs")
    length = plural(epochs, "epoch") if isinstance(epochs, int) else "some epochs"
    sentence = f"A {model} learned {plural(len(record.class_names), 'class', 'classes')} in {length}"
    if not branches:
        return f"{sentence}."
    together = f"together with {plural(count, 'branch', 'branches')} at {taps}, {_predicted(record)}"
    if record.metrics.baseline is None:
        return f"{sentence}, {together}."
    own = settings.get("baseline_epochs")
    longer = f" in {plural(own, 'epoch')}" if isinstance(own, int) and own != epochs else ""
    return f"{sentence}, once alone (the baseline{longer}) and once {together}."


def _predicted(record: Record) -> str:
    counts = [branch.num_groups for branch in record.metrics.branches]
    groups = [str(count) for count in counts if count < len(record.class_names)]
    itself = "the classes themselves"
    if not groups:
        return f"which predict {itself}"
    by = "the baseline confuses" if record.groups_of_baseline else "it confuses itself"
    besides = f", and {itself}" if len(groups) < len(counts) else ""
    counted = " and ".join(part for part in (", ".join(groups[:-1]), groups[-1]) if part)
    return f"which predict {counted} groups of classes that {by}{besides}"
