"""Sentences on the answers: are they right, how sure, and which are wrong?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssal.metrics import calibration_gain
from ssal.report.numbers import decimals, signed
from ssal.report.paired import Paired, compare_paired
from ssal.report.reading import Record
from ssal.report.words.chance import joint_against_baseline, more_often
from ssal.report.words.summary import Summary
from ssal.run.verdict import error_detection_line, guarantee_line, quoted_promise

# Whose probabilities the joint ones are held against, the fairest first.
_OPPONENTS = {
    "TR_scaled": "the main classifier with a fitted temperature",
    "TR": "the main classifier",
}
# A gain of less than this share is a little one, however sure.
_NOTABLE = 0.02
# Those that predict without branches.
_ALONE = {"baseline": "the baseline", "TR": "the main classifier alone"}


def say_answers(record: Record, summary: Summary) -> None:
    """Add what there is to say of accuracy, probabilities, errors, promises and severity."""
    for part in (_accuracy, _likelihood, _calibration, _errors, _promise, _severity):
        part(record, summary)


def _points(paired: Paired) -> str:
    low, high = paired.interval
    return f"{signed(paired.difference)} points, 95 % interval {signed(low)} to {signed(high)}"


def _accuracy(record: Record, summary: Summary) -> None:
    predictions, paired = record.predictions, joint_against_baseline(record)
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
    errors = {way: ece for way in _ALONE if way in ways and (ece := ways[way].ece) is not None}
    joint = record.metrics.JP.ece
    if predictions is None or joint is None or not errors.keys() <= predictions.answers.keys():
        return
    if not errors:
        return
    other, error = min(errors.items(), key=lambda entry: entry[1])
    ours, theirs = ((predictions.probabilities[way], predictions.right(way)) for way in ("JP", other))
    gain = calibration_gain(ours, theirs)
    figures = f"ECE {decimals(joint)} % against {decimals(error)} % of {_ALONE[other]}"
    if gain.low > 0 and joint < error:
        summary.brings.append(f"Better calibrated: {figures}.")
    elif gain.high < 0 and joint > error:
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
    if line is not None:
        row = quoted_promise(record.results["selective"]["guarantee"])
        kept = row is not None and row["holds"] is not False
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
    if more_often(before, after):
        summary.brings.append(f"Milder mistakes: {figures}.")
    elif more_often(after, before):
        summary.lacks.append(f"Graver mistakes: {figures}.")
    else:
        summary.lacks.append(f"Mistakes no milder: {figures}, which may be chance.")
