"""One section of the page: a heading, a template and what it shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        anchor: unique on the page; also the name of the template in `templates/sections/`.
        title: its heading.
        short: its name among the links at the top.
        content: what the template shows.
    """

    anchor: str
    title: str
    short: str
    content: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Chart:
    """A picture with its words.

    Attributes:
        title: what it shows.
        svg: the picture.
        caption: what to see in it.
    """

    title: str
    svg: Markup
    caption: Markup | str = ""
