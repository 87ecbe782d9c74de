"""Numbers as people read them."""

from __future__ import annotations

import math
import re

MISSING = "–"
_PERCENT = re.compile(r"(?<=\d) %")


def decimals(value: float | None, digits: int = 2) -> str:
    """A number with a fixed count of digits, and a dash for none.

    >>> decimals(93.4108), decimals(None), decimals(-0.001)
    ('93.41', '–', '0.00')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """A difference with its sign.

    >>> signed(0.3), signed(-1.25, 1), signed(0.001)
    ('+0.30', '−1.2', '±0.00')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    rounded = round(value, digits)
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else '±'}{abs(rounded):,.{digits}f}"


def whole(value: float | None) -> str:
    """A count with separators.

    >>> whole(881598)
    '881,598'
    """
    return MISSING if value is None or not math.isfinite(value) else f"{round(value):,}"


def percent(value: float | None, digits: int | None = None) -> str:
    r"""A share from 0 to 1 in percent; without digits given, as many as it needs.

    >>> percent(0.061, 2), percent(0.05), percent(0.005), percent(None)
    ('6.10\xa0%', '5\xa0%', '0.5\xa0%', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{100 * value:g}\u00a0%" if digits is None else f"{100 * value:.{digits}f}\u00a0%"


def share(part: float, total: float, digits: int = 1) -> str:
    """A part of a total in percent.

    >>> share(1, 8), share(1, 0)
    ('12.5 %', '–')
    """
    return MISSING if total == 0 else f"{100 * part / total:.{digits}f} %"


def short(value: float | None) -> str:
    """A large number with a prefix of its unit.

    >>> short(66_180_032), short(950), short(4.1e9)
    ('66.2 M', '950', '4.10 G')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}" if value / size >= 10 else f"{value / size:.2f} {letter}"
    return f"{value:g}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them.

    >>> duration(0.12), duration(42), duration(418.8), duration(8000)
    ('0.1 s', '42 s', '6 min 59 s', '2 h 13 min')
    """
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def tied(text: str) -> str:
    r"""A text in which no line begins with a percent sign.

    >>> tied("12.5 % of it")
    '12.5\xa0% of it'
    """
    return _PERCENT.sub("\u00a0%", text)


def p_value(value: float) -> str:
    """A p-value, without more digits than it deserves.

    >>> p_value(0.2981), p_value(0.00004)
    ('p = 0.30', 'p < 0.001')
    """
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "branch", "branches"), plural(3, "epoch")
    ('1 branch', '3 epochs')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
