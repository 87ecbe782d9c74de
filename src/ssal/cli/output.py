"""What the command line prints: plain lines that cannot steer the terminal."""

from __future__ import annotations

import sys
import unicodedata

# Directional marks reorder what stands around them; they are of category Cf, as soft hyphens are.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""Replace control, format and directional characters by their code, line breaks excepted.

    >>> visible("cat\x1b[31m dog")
    'cat\\x1b[31m dog'
    """
    return "".join(
        character
        if character == "\n" or unicodedata.category(character) not in _HIDDEN
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def say(text: str) -> None:
    """Print to standard output."""
    print(visible(text), flush=True)


def complain(text: str) -> None:
    """Print to standard error."""
    print(visible(text), file=sys.stderr, flush=True)
