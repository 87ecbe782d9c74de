"""Names of classes, files and settings: they come from users, and stay text."""

from __future__ import annotations

from markupsafe import Markup, escape

from ssal.text import visible

LONGEST = 60


def clipped(name: object, width: int = LONGEST) -> str:
    r"""A name with codes for characters that cannot be seen or turn the text around, cut where it is long.

    >>> clipped("a" * 80, 10), clipped("cat\u202e")
    ('aaaaaaaaa…', 'cat\\u202e')
    """
    shown = visible(str(name)[: width + 1], keep="")
    return shown if len(shown) <= width else shown[: width - 1].rstrip() + "…"


def class_name(name: object, width: int = LONGEST) -> Markup:
    """A class name as markup: escaped, in its own direction of writing.

    >>> class_name("<b>")
    Markup('<bdi class="name">&lt;b&gt;</bdi>')
    """
    shown = clipped(name, width)
    return Markup('<bdi class="name">{}</bdi>').format(shown if shown.strip() else "(blank)")


def class_names(names: list[str] | tuple[str, ...], limit: int = 12, width: int = LONGEST) -> Markup:
    """Several class names, the last words counting those left out."""
    shown = Markup(", ").join(class_name(name, width) for name in names[:limit])
    more = len(names) - limit
    return shown if more <= 0 else shown + escape(f" + {more:,} more")
