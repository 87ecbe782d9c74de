"""A matplotlib figure as SVG that lives inside the page: its colours, its fonts, no style of its own."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

from ssal.report.theme import variable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What a style may say and an attribute can say as well; fonts come from the page.
_KEPT = {
    "fill",
    "fill-opacity",
    "stroke",
    "stroke-width",
    "stroke-opacity",
    "stroke-dasharray",
    "stroke-dashoffset",
    "stroke-linecap",
    "stroke-linejoin",
    "opacity",
    "text-anchor",
    "font-weight",
    "font-style",
}
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)px")
_LINK = "{http://www.w3.org/1999/xlink}href"


def inline_svg(figure: Figure, name: str, label: str) -> Markup:
    """Turn a figure into an `<svg>` element.

    Styles become attributes, which a content security policy without `unsafe-inline` lets pass; colours of
    the theme become CSS variables, so that the picture follows the page into the dark; texts stay texts. The
    same figure gives the same characters.

    Args:
        figure: the figure.
        name: unique on the page; keeps ids of pictures apart.
        label: what a screen reader says.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        # The browser has other fonts; what ours lacks does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    # Parsed from matplotlib's own output, in which texts are escaped.
    root = ElementTree.fromstring(buffer.getvalue())
    box = root.attrib["viewBox"]
    root.attrib.clear()
    linked = {use.attrib.get(_LINK, "")[1:] for use in root.iter() if _LINK in use.attrib}
    for parent in list(root.iter()):
        for child in list(parent):
            if _plain(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        _adapt(element, name, linked)
    _drop_empty(root)
    root.attrib = {
        "id": f"chart-{name}",
        "viewBox": _rounded(box),
        "class": "chart",
        "role": "img",
        "aria-label": label,
        "stroke-linejoin": "round",
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]


def _rounded(text: str) -> str:
    """Coordinates with two digits: a hundredth of a pixel is not seen."""
    return _NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), text)


def _adapt(element: ElementTree.Element, name: str, linked: set[str]) -> None:
    element.tag = _plain(element.tag)
    old = dict(element.attrib)
    element.attrib.clear()
    for declaration in old.pop("style", "").split(";"):
        key, colon, value = (part.strip() for part in declaration.partition(":"))
        if not colon:
            continue
        if key in ("font", "font-size") and (size := _SIZE.search(value)):
            element.attrib["font-size"] = size[1]
        if key == "font" and re.match(r"(bold|[6-9]00)\b", value):
            element.attrib["font-weight"] = "bold"
        if key in _KEPT:
            element.attrib[key] = variable(value) or _rounded(value)
    if (identity := old.pop("id", None)) in linked:
        element.attrib["id"] = f"{name}-{identity}"
    if (link := old.pop(_LINK, None)) is not None:
        element.attrib["href"] = f"#{name}-{link[1:]}" if link[1:] in linked else link
    for key, value in old.items():
        if key == "clip-path" or (key == "transform" and value.startswith("rotate(-0 ")):
            continue
        element.attrib[key] = variable(value) or " ".join(_rounded(value).split())
    for text in ("text", "tail"):
        if element.tag != "text" and not (getattr(element, text) or "").strip():
            setattr(element, text, None)
    element.tail = None


def _drop_empty(root: ElementTree.Element) -> None:
    """Groups only name parts of the figure: keep their content."""
    for parent in list(root.iter()):
        kept: list[ElementTree.Element] = []
        for child in parent:
            kept += _unwrapped(child)
        parent[:] = kept


def _unwrapped(element: ElementTree.Element) -> list[ElementTree.Element]:
    if element.tag == "clipPath" or (element.tag in ("defs", "g") and not len(element)):
        return []
    if element.tag == "g" and not element.attrib:
        return [inner for child in element for inner in _unwrapped(child)]
    return [element]
