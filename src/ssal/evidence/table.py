"""Evidence as text: the sum that made the decision, and what each branch saw."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from ssal.evidence.evidence import Evidence, Part

_NAME_WIDTH, _SPOKEN_WIDTH = 12, 32
_SPOKEN_SHARES = 5


def readable(name: str, width: int | None = None) -> str:
    r"""A name on one line, without characters that steer a terminal or cannot be seen, cut to `width` cells.

    >>> readable("cat\nand dog", 8)
    'cat�and…'
    """
    clean = "".join(character if character.isprintable() else "�" for character in name)
    if width is None or cell_len(clean) <= width:
        return clean
    return set_cell_size(clean, width - 1).rstrip() + "…"


def describe_members(evidence: Evidence, part: Part, limit: int = 8) -> list[str]:
    """Names of the classes of a part's group, the winner first, the last one counting those left out."""
    members = sorted(part.members, key=lambda member: member != evidence.winner)
    shown = members if len(members) <= limit else members[: limit - 1]
    names = [readable(evidence.class_names[member]) for member in shown]
    return names if len(shown) == len(members) else [*names, f"+ {len(members) - len(shown)} more"]


def describe_map(evidence: Evidence, part: Part) -> str:
    """What the map of a part is: how it was made, and for which class or group."""
    if part.tap is None:
        return f"{part.method} for {readable(evidence.class_name, 16)}"
    if part.tells_classes:
        return f"{part.method} for {readable(evidence.class_names[part.members[0]], 16)}"
    return f"{part.method} for group {part.predicted}"


def _cells(values: list[str], width: int) -> str:
    return "".join(" " * (width - cell_len(value)) + value for value in values)


def _number(value: float) -> str:
    """Two digits, and no minus before a zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def _signed(value: float) -> str:
    """Likewise, with a plus."""
    return f"{round(value, 2) + 0.0:+.2f}"


def _without(evidence: Evidence, part: Part) -> str:
    match part.without:
        case ():
            return "–"
        case (only,):
            name = readable(evidence.class_names[only], _NAME_WIDTH)
            return "same" if only == evidence.winner else name
        case several:
            return f"tie of {len(several)}"


def _rows(evidence: Evidence) -> list[str]:
    names = [readable(name, _NAME_WIDTH) for name in evidence.names(evidence.candidates)]
    versus = " over ".join(readable(name, 8) for name in names[:2])
    labels = [part.name for part in evidence.parts]
    labels += [f"  from {share.name}" for part in evidence.parts for share in part.shares]
    label = 2 + max(len("log-probability"), *(cell_len(readable(each)) for each in labels))
    column = 2 + max(7, *(cell_len(name) for name in names))
    last = 2 + cell_len(versus)

    def row(name: str, exponent: str, values: list[str], margin: str, without: str = "") -> str:
        head = set_cell_size(readable(name), label) + f"{exponent:>7}"
        return (head + _cells(values, column) + _cells([margin], last) + f"  {without}").rstrip()

    blank = [""] * len(names)
    lines = [row("η · log p", "η", names, versus, "without it")]
    for part in evidence.parts:
        terms = [_number(value) for value in part.terms]
        lines.append(
            row(part.name, f"{part.exponent:.3f}", terms, _signed(part.margin), _without(evidence, part))
        )
        for share in part.shares:
            lines.append(row(f"  from {share.name}", "", blank, _signed(share.leads[1])))
    sums = [_number(value + evidence.log_normaliser) for value in evidence.log_probabilities]
    lines.insert(1, "─" * max(map(cell_len, lines)))
    lines.append(row("sum", "", sums, _signed(evidence.margin)))
    lines.append(row("log-probability", "", [_number(value) for value in evidence.log_probabilities], ""))
    lines.append(row("probability", "", [f"{100 * value:.1f} %" for value in evidence.probabilities], ""))
    return lines


def _spoken(part: Part) -> str:
    return f"the {part.name}" if part.tap is None else readable(part.name)


def _alternatives(evidence: Evidence, classes: tuple[int, ...], limit: int = 4) -> str:
    names = [readable(name, _SPOKEN_WIDTH) for name in evidence.names(classes[:limit])]
    if len(classes) > limit:
        names.append(f"one of {len(classes) - limit} others")
    return " or ".join(names)


def verdict(evidence: Evidence) -> list[str]:
    """Sentences: which part decided, and which ones changed the answer."""
    first, second = (readable(name, _SPOKEN_WIDTH) for name in evidence.names(evidence.candidates[:2]))
    part = evidence.decided_by
    lines = [
        f"decided by {_spoken(part)}: it favours {first} over {second} by {part.margin:.2f}, "
        f"all parts together by {evidence.margin:.2f}"
    ]
    if part.shares:
        shares = sorted(part.shares, key=lambda share: -abs(share.leads[1]))
        added = [(readable(share.name, 24), share.leads[1]) for share in shares]
        if len(added) > _SPOKEN_SHARES:
            rest = sum(lead for _, lead in added[_SPOKEN_SHARES - 1 :])
            added = [*added[: _SPOKEN_SHARES - 1], ("others", rest)]
        said = ", ".join(f"{name} {_signed(lead)}" for name, lead in added)
        lines.append(f"{_signed(part.margin)} adds up from {said}")
    changes: dict[tuple[int, ...], list[str]] = {}
    for decisive in evidence.decisive:
        changes.setdefault(decisive.without, []).append(_spoken(decisive))
    for answers, parts in changes.items():
        lines.append(f"without {' or '.join(parts)} the answer would be {_alternatives(evidence, answers)}")
    return lines if changes else [*lines, "no part changed the answer by itself"]


def _branch_line(evidence: Evidence, part: Part, width: int) -> str:
    word = "agrees" if part.agrees else "conflicts"
    group = "" if part.tells_classes else f"group {part.predicted}: "
    return (
        f"{set_cell_size(readable(part.name), width)}  {word:9}  {100 * part.probability:5.1f} %  "
        f"{group}{', '.join(describe_members(evidence, part))}"
    )


def format_evidence(evidence: Evidence) -> str:
    """The table of terms (parts × candidates), the verdict, and the group that each branch saw.

    Numbers are natural logarithms; a difference of 0.69 makes a class twice as probable.
    """
    lines = [f"{readable(evidence.class_name)}  {100 * evidence.probability:.1f} %", "", *_rows(evidence), ""]
    lines += verdict(evidence)
    branches = [part for part in evidence.parts if part.tap is not None]
    if branches:
        width = max(cell_len(readable(part.name)) for part in branches)
        lines += ["", *(_branch_line(evidence, part, width) for part in branches)]
    return "\n".join(lines)
