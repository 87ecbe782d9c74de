"""The run in plain sentences: what was trained, what the branches bring, and where they do not help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scipy.stats import hypergeom

from ssal.metrics import calibration_gain
from ssal.report.names import clipped
from ssal.report.numbers import decimals, duration, plural, share, signed, tied
from ssal.report.paired import Paired, compare_paired
from ssal.report.reading import Record
from ssal.report.schema import Area, Explanations
from ssal.report.sections.agreement import levels
from ssal.report.sections.confusion import chance_share
from ssal.run.verdict import error_detection_line, guarantee_line

# Whose probabilities the joint ones are held against, the fairest first.
_OPPONENTS = {
    "TR_scaled": "the main classifier with a fitted temperature",
    "TR": "the main classifier",
}
# A gain of less than this share is a little one, however sure.
_NOTABLE = 0.02
# Those that predict without branches.
_ALONE = {"baseline": "the baseline", "TR": "the main classifier alone"}
# Exponents below this are shown as 0.000: what such a branch says moves no answer that is not a tie.
_SILENT = 5e-4


@dataclass
class Summary:
    """The sentences at the top.

    Attributes:
        headline: the result in one sentence.
        trained: what was trained, on what.
        brings: what the branches bring.
        lacks: where they do not help, and what they cost.
    """

    headline: str
    trained: str
    brings: list[str] = field(default_factory=list[str])
    lacks: list[str] = field(default_factory=list[str])


def summarise_run(record: Record) -> Summary:
    """Put the figures of a run into words."""
    summary = Summary(_headline(record), _trained(record))
    for part in (_accuracy, _likelihood, _calibration, _errors, _promise, _agreement, _severity):
        part(record, summary)
    for part in (_groups, _maps, _branches, _combination, _cost):
        part(record, summary)
    return Summary(
        tied(summary.headline),
        tied(summary.trained),
        [tied(sentence) for sentence in summary.brings],
        [tied(sentence) for sentence in summary.lacks],
    )


def _points(paired: Paired) -> str:
    low, high = paired.interval
    return f"{signed(paired.difference)} points, 95 % interval {signed(low)} to {signed(high)}"


def _joint_against_baseline(record: Record) -> Paired | None:
    predictions = record.predictions
    if predictions is None or "baseline" not in predictions.answers:
        return None
    return compare_paired(predictions.right("baseline"), predictions.right("JP"))


def _headline(record: Record) -> str:
    baseline, joint = record.metrics.baseline, record.metrics.JP
    if baseline is None:
        return f"The joint prediction is right on {decimals(joint.top1)} % of the test images."
    paired = _joint_against_baseline(record)
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
    taps = ", ".join(clipped(branch.tap, 24) for branch in branches)
    epochs = settings.get("epochs")
    length = plural(epochs, "epoch") if isinstance(epochs, int) else "some epochs"
    sentence = f"A {model} learned {plural(len(record.class_names), 'class', 'classes')} in {length}"
    if not branches:
        return f"{sentence}."
    counts = ", ".join(str(branch.num_groups) for branch in branches)
    together = (
        f"together with {plural(len(branches), 'branch', 'branches')} at {taps}, "
        f"which predict {counts} groups of classes"
    )
    if record.metrics.baseline is None:
        return f"{sentence}, {together}."
    return f"{sentence}, once alone (the baseline) and once {together} that the baseline confuses."


def _accuracy(record: Record, summary: Summary) -> None:
    predictions, paired = record.predictions, _joint_against_baseline(record)
    if predictions is None or paired is None:
        return
    trained = compare_paired(predictions.right("baseline"), predictions.right("TR"))
    voted = compare_paired(predictions.right("TR"), predictions.right("JP"))
    text = (
        f"Accuracy: {_points(paired)}. Joint training accounts for {signed(trained.difference)}, "
        f"the vote of the branches for {signed(voted.difference)}."
    )
    if paired.better:
        summary.brings.append(text)
        return
    summary.lacks.append(text if paired.worse else f"{text} It may be chance.")


def _likelihood(record: Record, summary: Summary) -> None:
    """Against the main classifier with a temperature where that was measured: the fairest opponent."""
    for way, name in _OPPONENTS.items():
        gain, other, joint = record.likelihood_gain.get(way), _nll(record, way), _nll(record, "JP")
        if gain is None or other is None or joint is None:
            continue
        figures = f"NLL {decimals(joint, 3)} against {decimals(other, 3)} of {name}"
        if gain.low > 0:
            little = "A little better" if gain.mean < _NOTABLE * other else "Better"
            summary.brings.append(f"{little} probabilities: {figures}.")
        elif gain.high < 0:
            summary.lacks.append(f"Worse probabilities: {figures}.")
        else:
            summary.lacks.append(f"Probabilities no better: {figures}, which may be chance.")
        return
    base, joint = record.metrics.baseline, record.metrics.JP
    if base is None or base.nll is None or joint.nll is None:
        return
    figures = f"NLL {decimals(joint.nll, 3)} instead of {decimals(base.nll, 3)} of the baseline"
    if joint.nll < base.nll:
        summary.brings.append(f"Better probabilities: {figures}.")
    else:
        summary.lacks.append(f"Probabilities no better: {figures}.")


def _nll(record: Record, way: str) -> float | None:
    measured = record.calibration.get(way)
    return None if measured is None else measured.nll


def _calibration(record: Record, summary: Summary) -> None:
    """Against the better calibrated of the two that need no branches to predict, and beyond chance."""
    predictions, ways = record.predictions, record.metrics.ways
    errors = {way: ways[way].ece for way in _ALONE if way in ways and ways[way].ece is not None}
    joint = record.metrics.JP.ece
    if predictions is None or joint is None or not errors.keys() <= predictions.answers.keys():
        return
    other, error = min(errors.items(), key=lambda entry: entry[1] or 0.0, default=(None, None))
    if other is None:
        return
    ours, theirs = ((predictions.probabilities[way], predictions.right(way)) for way in ("JP", other))
    gain = calibration_gain(ours, theirs)
    figures = f"ECE {decimals(joint)} % against {decimals(error)} % of {_ALONE[other]}"
    if gain.low > 0:
        summary.brings.append(f"Better calibrated: {figures}.")
    elif gain.high < 0:
        summary.lacks.append(f"Worse calibrated: {figures}.")
    else:
        summary.lacks.append(f"Calibration no better: {figures}, which may be chance.")


def _errors(record: Record, summary: Summary) -> None:
    """Whether anything that the branches say finds errors better than a probability that is there anyway."""
    line = _spoken(error_detection_line, record)
    if line is not None:
        gain = record.selective.gain.get("main") if record.selective else None
        (summary.brings if gain is not None and gain.low > 0 else summary.lacks).append(line)
        return
    before, after = (record.metrics.error_detection.get(way) for way in ("baseline", "JP"))
    if before is not None and after is not None:
        better = after > before
        (summary.brings if better else summary.lacks).append(
            f"Finding errors by the largest probability: AUROC {decimals(after, 3)} instead of "
            f"{decimals(before, 3)} of the baseline{'.' if better else ': no gain.'}"
        )


def _promise(record: Record, summary: Summary) -> None:
    line = _spoken(guarantee_line, record)
    if line is not None and record.selective is not None:
        kept = any(row.possible and row.holds is not False for row in record.selective.guarantee)
        (summary.brings if kept else summary.lacks).append(line)


def _spoken(sentence: Callable[[dict[str, Any]], str | None], record: Record) -> str | None:
    """A sentence on the figures as they are in the file; none where they have another form."""
    try:
        return sentence(record.results)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def _severity(record: Record, summary: Summary) -> None:
    base, joint = (record.severity.get(way) for way in ("baseline", "JP"))
    if base is None or joint is None:
        return
    predictions = record.predictions
    if predictions is None or "baseline" not in predictions.answers:
        return
    before, after = (
        (100 * (severity - 1), int((~predictions.right(way)).sum()))
        for way, severity in (("baseline", base), ("JP", joint))
    )
    figures = (
        f"{after[0]:.1f} % of the mistakes leave the true superclass, {before[0]:.1f} % of the baseline's"
    )
    if _more_often(before, after):
        summary.brings.append(f"Milder mistakes: {figures}.")
    elif _more_often(after, before):
        summary.lacks.append(f"Graver mistakes: {figures}.")
    else:
        summary.lacks.append(f"Mistakes no milder: {figures}, which may be chance.")


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
        if _more_often((full.accuracy, full.images), (right, rest)):
            summary.brings.append(f"A warning with every prediction: {figures}")
        else:
            summary.lacks.append(f"Agreement of the branches does not tell right from wrong: {figures}")


def _more_often(first: tuple[float, int], second: tuple[float, int]) -> bool:
    """Whether the first share, of (percent, images), is larger beyond chance (Fisher's exact test, 2.5 %)."""
    (hits, images), (other_hits, other_images) = (
        (round(percent * images / 100), images) for percent, images in (first, second)
    )
    chance = hypergeom.sf(hits - 1, images + other_images, hits + other_hits, images)
    return float(chance) < 0.025


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


def _branches(record: Record, summary: Summary) -> None:
    silent = [clipped(branch.tap, 24) for branch in record.metrics.branches if branch.exponent < _SILENT]
    if silent:
        verb, whose = ("has", "its") if len(silent) == 1 else ("have", "their")
        summary.lacks.append(
            f"{' and '.join(silent)} {verb} an exponent of 0.000: on held-out images {whose} vote added "
            "nothing."
        )


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
        before, after = values.get("baseline"), values.get("JP")
        if before and after:
            texts.append(f"{100 * (after / before - 1):.1f} % more {name}")
    before, after = (metrics.seconds.get(way) for way in ("baseline", "JP"))
    if before and after:
        texts.append(
            f"{after / before:.1f} times the training time ({duration(after)} instead of {duration(before)})"
        )
    if texts:
        summary.lacks.append(f"Cost: {', '.join(texts)}.")
