"""What the checks say, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ssal.evidence.faithfulness.differences import Difference, Verdict
from ssal.evidence.faithfulness.results import Against, ExplanationChecks, Subject
from ssal.evidence.table import readable

# Maps with a rank correlation above this are called alike.
_ALIKE = 0.5
_WORDS: dict[Verdict, str] = {"better": "better", "no difference": "no better", "worse": "worse"}


def name_subjects(subjects: Iterable[Subject]) -> dict[Subject, str]:
    """A name for each part; branches at the same tap are told apart by their numbers.

    >>> name_subjects([Subject("branch", "layer1", 1), Subject("branch", "layer1", 2)]).values()
    dict_values(['layer1 (1)', 'layer1 (2)'])
    """
    known = list(subjects)
    names = [subject.name for subject in known]
    return {
        subject: readable(subject.name)
        if names.count(subject.name) == 1 or subject.branch is None
        else f"{readable(subject.name)} ({subject.branch})"
        for subject in known
    }


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _maps(names: Sequence[str], verb: tuple[str, str]) -> str:
    """`the map of a is`, `the maps of a and b are`."""
    several = len(names) > 1
    return f"the map{'s' if several else ''} of {_list(names)} {verb[several]}"


def _split(verdicts: Mapping[str, Verdict]) -> dict[Verdict, list[str]]:
    split: dict[Verdict, list[str]] = {}
    for name, verdict in verdicts.items():
        split.setdefault(verdict, []).append(name)
    return split


def _sentence(where: str, verdicts: Mapping[str, Verdict], opponent: str) -> str:
    """Who beats an opponent, who does not, and who is beaten."""
    split = _split(verdicts)
    clauses: list[str] = []
    for verdict, word in _WORDS.items():
        if verdict in split:
            # The opponent is named once.
            whom = "" if clauses else f" than {opponent}"
            clauses.append(f"{_maps(split[verdict], ('is', 'are'))} {word}{whom}")
    return f"{where}, {'; '.join(clauses)}."


def _contests(checks: ExplanationChecks, names: Mapping[Subject, str]) -> list[str]:
    def verdicts(get: Callable[[int], Difference]) -> dict[str, Verdict]:
        return {names[part.subject]: get(place).verdict for place, part in enumerate(checks.parts)}

    parts = checks.parts
    centre = "a mark in the centre of the image"
    return [
        _sentence("In deletion", verdicts(lambda i: parts[i].deletion.over_random), "random maps"),
        _sentence("In insertion", verdicts(lambda i: parts[i].insertion.over_random), "random maps"),
        _sentence("In deletion", verdicts(lambda i: parts[i].deletion.over_centre), centre),
        _sentence("In insertion", verdicts(lambda i: parts[i].insertion.over_centre), centre),
        _sentence(
            "In deletion",
            verdicts(lambda i: parts[i].other.difference),
            "the same part's map for another class or group",
        ),
    ]


def _flat(checks: ExplanationChecks, names: Mapping[Subject, str]) -> list[str]:
    return [
        f"For {part.flat} of {checks.images} images the map of {names[part.subject]} is the same everywhere; "
        "a random one was tested in its place."
        for part in checks.parts
        if part.flat
    ]


def _randomisation(checks: ExplanationChecks, names: Mapping[Subject, str]) -> list[str]:
    lines: list[str] = []
    changed: dict[str, float] = {}
    for cascade in checks.randomisation:
        name = names[cascade.subject]
        likest = max(cascade.stages, key=lambda stage: stage.spearman)
        if likest.spearman > _ALIKE:
            lines.append(
                f"The map of {name} fails the randomisation check: with random weights down to "
                f"{readable(likest.randomised)} it stays alike (rank correlation {likest.spearman:.2f}), "
                "so it does not show what was learnt there."
            )
        else:
            changed[name] = likest.spearman
    if changed:
        lines.append(
            f"When weights are random, {_maps(list(changed), ('changes', 'change'))}: rank correlation with "
            f"the original at most {max(changed.values()):.2f}."
        )
    alike = {
        names[cascade.subject]: cascade.between_images
        for cascade in checks.randomisation
        if cascade.between_images > _ALIKE
    }
    if alike:
        who = _maps(list(alike), ("is", "are"))
        values = _list([f"{value:.2f}" for value in alike.values()])
        lines.append(f"T{who[1:]} much the same for different images: rank correlation {values}.")
    return lines


def _against(against: Against, names: Mapping[Subject, str]) -> list[str]:
    how = f" ({against.method} groups)" if against.method else ""
    beside = f"beside {readable(against.run)}{how} and relative to the probability at stake"
    tests = {
        "deletion": {names[part.subject]: part.deletion for part in against.parts},
        "insertion": {names[part.subject]: part.insertion for part in against.parts},
    }
    return [
        _sentence(
            f"In {test}, {beside}",
            {name: contrast.gain_difference.verdict for name, contrast in contrasts.items()},
            "those of the other run",
        )
        for test, contrasts in tests.items()
    ]


def findings(checks: ExplanationChecks) -> list[str]:
    """One sentence for each finding; which part beats which opponent goes by the 95 % intervals.

    The intervals stand for themselves: with many of them, about one in twenty that should hold 0 does not.
    """
    if not checks.parts:
        return ["No part of this model reads a map of the image: there is nothing to check."]
    subjects = [part.subject for part in checks.parts]
    names = name_subjects([*subjects, *checks.without_map])
    lines = [*_contests(checks, names), *_flat(checks, names), *_randomisation(checks, names)]
    if checks.without_map:
        silent = _list([names[subject] for subject in checks.without_map])
        lines.append(f"Without a map of the image, and so not checked: {silent}.")
    return lines if checks.against is None else [*lines, *_against(checks.against, names)]
