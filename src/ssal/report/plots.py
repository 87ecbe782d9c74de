"""The charts of a report as files of their own."""

from __future__ import annotations

import re
from pathlib import Path

from ssal.files import write_text
from ssal.report.theme import LIGHT

_CHART = re.compile(r'<svg id="chart-(?P<name>[\w.-]+)".*?</svg>', re.DOTALL)
_VARIABLE = re.compile(r"var\(--([\w-]+)\)")
# What the page says of all its charts.
_ALONE = f'<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" fill="{LIGHT["ink"]}" '


def charts(html: str) -> dict[str, str]:
    """The charts that `inline_svg` made for a page, by name: SVG files in the colours of a light screen."""
    return {found["name"]: _alone(found[0]) for found in _CHART.finditer(html)}


def _alone(svg: str) -> str:
    coloured = _VARIABLE.sub(lambda match: LIGHT[match[1]], svg)
    return coloured.replace("<svg ", _ALONE, 1) + "\n"


def write_charts(html: str, folder: Path) -> None:
    """Write the charts of a page to NAME.svg in `folder`, and remove those that it has no more.

    Raises:
        OSError: a file cannot be written.
    """
    found = charts(html)
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        if old.stem not in found:
            old.unlink()
    for name, svg in found.items():
        write_text(folder / f"{name}.svg", svg)
