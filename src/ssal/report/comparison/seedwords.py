"""What runs that differ in their seed only say together, in sentences."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from ssal.report.comparison.seeds import (
    Gain,
    Value,
    deletion_areas,
    gain_over_seeds,
)
from ssal.report.names import clipped
from ssal.report.numbers import decimals, signed
from ssal.report.reading import Record
from ssal.report.schema import Calibration
from ssal.selective import score_words

# A gain of less than this share is a little one, however sure.
_NOTABLE = 0.02


def seed_sentences(records: Sequence[Record]) -> list[str]:
    """What holds over the seeds, and what another seed may undo; what was not measured is left out."""
    sentences: list[str] = []
    for make in (_accuracy, _likelihood, _calibration, _detection, _maps):
        sentence = make(records)
        if sentence is not None:
            sentences.append(sentence)
    return sentences


def _differences(
    records: Sequence[Record], ours: Callable[[Record], Value], other: Callable[[Record], Value]
) -> Gain | None:
    pairs = [(ours(record), other(record)) for record in records]
    known = [mine - theirs for mine, theirs in pairs if mine is not None and theirs is not None]
    return gain_over_seeds(known) if len(known) == len(records) > 1 else None


def _by_sign(gain: Gain, above: str, below: str, neither: str) -> str:
    """What to say of a difference that is above zero, below, or neither, beyond chance."""
    if gain.low > 0:
        return above
    return below if gain.high < 0 else neither


def _shown(gain: Gain, digits: int = 2) -> str:
    return f"{signed(gain.mean, digits)}, 95 % interval {_interval(gain, digits)}"


def _interval(gain: Gain, digits: int) -> str:
    return f"{signed(gain.low, digits)} to {signed(gain.high, digits)}"


def _accuracy(records: Sequence[Record]) -> str | None:
    trained = _differences(
        records,
        lambda r: r.metrics.TR.top1,
        lambda r: r.metrics.baseline.top1 if r.metrics.baseline else None,
    )
    voted = _differences(records, lambda r: r.metrics.JP.top1, lambda r: r.metrics.TR.top1)
    if trained is None or voted is None:
        return None
    verdict = _by_sign(voted, "the vote helps", "the vote harms", "the vote does not help beyond chance")
    return (
        f"Accuracy, in points: joint training {_shown(trained)}; the vote of the branches on top of it "
        f"{_shown(voted)}: {verdict}."
    )


def _likelihood(records: Sequence[Record]) -> str | None:
    return _lower(records, lambda calibration: calibration.nll, "NLL", 4)


def _calibration(records: Sequence[Record]) -> str | None:
    return _lower(records, lambda calibration: calibration.ece, "ECE, in points", 2)


def _lower(
    records: Sequence[Record], figure: Callable[[Calibration], Value], what: str, digits: int
) -> str | None:
    """A sentence on a figure that is good if it is small: of JP, less that of the main classifier.

    Exponents are fitted on held-out images, so the main classifier has a temperature fitted there too.
    """
    way = "TR_scaled" if all("TR_scaled" in record.calibration for record in records) else "TR"
    against = "the main classifier" + (" with a fitted temperature" if way == "TR_scaled" else "")

    def of(name: str) -> Callable[[Record], Value]:
        return lambda r: figure(r.calibration[name]) if name in r.calibration else None

    gain = _differences(records, of("JP"), of(way))
    if gain is None:
        return None
    known = [value for record in records if (value := of(way)(record)) is not None]
    little = " a little" if -gain.mean < _NOTABLE * statistics.mean(known) else ""
    verdict = _by_sign(
        gain, "the branches harm", f"the branches help{little}", "the branches do not help beyond chance"
    )
    return f"{what}: JP less {against} {_shown(gain, digits)}: {verdict}."


def _detection(records: Sequence[Record]) -> str | None:
    """The score that each run chose on held-out images, against the main classifier on the same answers."""
    found = [_chosen_and_main(record) for record in records]
    known = [entry for entry in found if entry is not None]
    if len(known) < len(records) or len(known) < 2:
        return None
    gain = gain_over_seeds([ours - main for _, ours, main in known])
    chosen = Counter(name for name, _, _ in known)
    verdict = _by_sign(
        gain,
        "they help to find errors",
        "they make it harder",
        "they do not help to find errors beyond chance",
    )
    names = ", ".join(
        clipped(score_words(name), 80) + (f" in {count} of {len(known)} runs" if len(chosen) > 1 else "")
        for name, count in chosen.most_common()
    )
    ours, main = (statistics.mean(values) for values in zip(*(entry[1:] for entry in known), strict=True))
    return (
        f"Error detection by the score that held-out images chose ({names}): AUROC {decimals(ours, 4)} "
        f"against {decimals(main, 4)} of the main classifier on the same answers "
        f"({_shown(gain, 4)}): {verdict}."
    )


def _chosen_and_main(record: Record) -> tuple[str, float, float] | None:
    """The score of the branches that was chosen, its AUROC, and that of the main classifier's."""
    if record.selective is None or record.selective.best is None:
        return None
    name, scores = record.selective.best, record.selective.scores
    ours, main = (scores[each].auroc if each in scores else None for each in (name, "main"))
    return None if ours is None or main is None else (name, ours, main)


def _maps(records: Sequence[Record]) -> str | None:
    found = deletion_areas(records)
    if not found:
        return None
    texts: list[str] = []
    for key, opponent in (("verdict", "random maps"), ("centre_verdict", "a mark in the centre")):
        always = [
            name for name, areas in found.items() if all(getattr(area, key) == "better" for area in areas)
        ]
        texts.append(f"{', '.join(always) or 'no part'} against {opponent}")
    return f"Maps that are better in deletion in each run: {'; '.join(texts)}."
