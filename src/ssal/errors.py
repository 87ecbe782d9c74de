"""The errors a user may meet: one line with what was given, what is allowed and the nearest valid name."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class SsalError(Exception):
    """Base of every error that `ssal` raises on purpose; its text is one sentence meant for a person."""


class InputError(SsalError):
    """An argument, setting, name or layout is not one that is allowed."""


class DataError(SsalError):
    """A data set, an image or a label cannot be used as given."""


class RunError(SsalError):
    """A run directory, checkpoint or model file is missing, damaged, in use or of another shape."""


def nearest(given: str, allowed: Iterable[str], limit: int = 3) -> list[str]:
    """Return the names in `allowed` that look most like `given`, best first.

    >>> nearest("layr2", ["layer1", "layer2", "stem"], limit=1)
    ['layer2']
    """
    by_folded = {name.casefold(): name for name in allowed}
    matches = get_close_matches(given.casefold(), by_folded, n=limit, cutoff=0.5)
    return [by_folded[match] for match in matches]


def unknown_name(kind: str, given: str, allowed: Sequence[str], show: int = 12) -> InputError:
    """Build the error for a name that is not among `allowed`.

    The whole list is shown when it is short, otherwise the nearest names only.

    >>> str(unknown_name("criterion", "joim", ["join", "split"]))
    "unknown criterion 'joim'; did you mean 'join'? allowed: join, split"
    """
    near = nearest(given, allowed)
    hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ";"
    if len(allowed) <= show:
        return InputError(f"unknown {kind} {given!r}{hint} allowed: {', '.join(allowed)}")
    if near:
        return InputError(f"unknown {kind} {given!r}{hint}")
    return InputError(
        f"unknown {kind} {given!r}; {len(allowed)} are known, such as {', '.join(allowed[:show])}"
    )
