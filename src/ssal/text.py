"""Texts from outside, such as names of files and classes, made safe to show and to write."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Control, format (directional marks among them), lone surrogate and private characters, line separators.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def visible(text: str, keep: str = "\n") -> str:
    r"""Replace characters that steer a terminal, reorder text or cannot be seen by their code.

    Args:
        text: any text.
        keep: such characters that stay nevertheless; none for what must be one line.

    >>> visible("cat\x1b[31m dog")
    'cat\\x1b[31m dog'
    >>> visible("cat\ndog", keep="")
    'cat\\ndog'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in _HIDDEN
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def encodable(text: str) -> str:
    r"""Replace what no file in UTF-8 can hold, as names of files that are no UTF-8 give it, by its code.

    >>> encodable("caf\udce9")
    'caf\\udce9'
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def place_and_task(tap: str, fused: bool, num_groups: int, num_classes: int) -> tuple[str, str]:
    """What a branch reads, and what it tells apart, in a few words.

    >>> place_and_task("layer4", True, 10, 10), place_and_task("layer1", False, 2, 10)
    (('fused (layer4)', 'classes'), ('layer1', '2 groups'))
    """
    task = "classes" if num_groups == num_classes else f"{num_groups} groups"
    return f"fused ({tap})" if fused else tap, task


def told_apart(names: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Names that several have, with what tells them apart; with their numbers where that does not.

    Args:
        names: each with what may tell it from others of that name.

    >>> told_apart([("layer1", "classes"), ("layer1", "5 groups"), ("layer2", "5 groups")])
    ('layer1 (classes)', 'layer1 (5 groups)', 'layer2')
    >>> told_apart([("layer1", "5 groups"), ("layer1", "5 groups")])
    ('layer1 (5 groups, 1)', 'layer1 (5 groups, 2)')
    """
    pairs = list(names)
    alone = [name for name, _ in pairs]
    return tuple(
        name
        if alone.count(name) == 1
        else f"{name} ({what})"
        if pairs.count((name, what)) == 1
        else f"{name} ({what}, {number})"
        for number, (name, what) in enumerate(pairs, start=1)
    )
