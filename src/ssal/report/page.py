"""From sections to one HTML file that needs nothing else: no script, no network, a policy that says so."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ssal.report import names, numbers, theme
from ssal.text import encodable

_FILTERS: dict[str, Any] = {
    "decimals": numbers.decimals,
    "signed": numbers.signed,
    "whole": numbers.whole,
    "short": numbers.short,
    "duration": numbers.duration,
    "p_value": numbers.p_value,
    "plural": numbers.plural,
    "percent": numbers.percent,
    "clipped": names.clipped,
    "class_name": names.class_name,
}


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("ssal.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(_FILTERS)
    return templates


@cache
def style_sheet() -> str:
    """The style of the page, with its colours."""
    return (
        _templates()
        .get_template("style.css")
        .render(light=theme.declarations(theme.LIGHT), dark=theme.declarations(theme.DARK))
    )


def content_security_policy(style: str) -> str:
    """A policy that lets the browser show this style and pictures in the page, and load nothing at all."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def render_page(template: str, **content: Any) -> str:
    """Fill a template of a whole page.

    Args:
        template: its file name.
        **content: what it shows.
    """
    style = style_sheet()
    page = _templates().get_template(template)
    policy = content_security_policy(style)
    return encodable(page.render(style=Markup(style), policy=policy, version=version("ssal"), **content))
