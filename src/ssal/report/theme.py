"""The colours of the page, light and dark; pictures use them through CSS variables."""

from __future__ import annotations

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "paper": "#fbfaf7",
    "card": "#ffffff",
    "ink": "#1c1e22",
    "soft": "#575b64",
    "line": "#dedcd5",
    "accent": "#0b655d",
    "wash": "#e6f1ee",
    "good": "#0c6a60",
    "bad": "#a8371b",
    "baseline": "#70737b",
    "TR": "#2d6cb2",
    "JP": "#0a675f",
    "LC": "#96640a",
    "other": "#8a4a86",
}
"""Colours on a light screen and on paper. No two are equal: pictures find their variable by the colour."""

DARK: Mapping[str, str] = {
    "paper": "#141619",
    "card": "#1b1e22",
    "ink": "#eceae5",
    "soft": "#a9acb3",
    "line": "#34373d",
    "accent": "#63cbbb",
    "wash": "#1d2f2d",
    "good": "#62cabb",
    "bad": "#ff9a80",
    "baseline": "#9ea1a9",
    "TR": "#82b4ef",
    "JP": "#5fc9b9",
    "LC": "#dfb152",
    "other": "#cf9bcb",
}
"""The same on a dark screen."""

READ_ON = {
    "ink": ("paper", "card", "wash"),
    "soft": ("paper", "card", "wash"),
    "accent": ("paper", "card", "wash"),
    "good": ("paper", "card"),
    "bad": ("paper", "card"),
    "TR": ("paper", "card"),
    "JP": ("paper", "card"),
    "LC": ("paper", "card"),
    "other": ("paper", "card"),
}
"""Which colours are used for text, and on what."""

SERIES = ("TR", "LC", "other", "JP", "baseline")
"""Colours of lines that have none of their own, in the order of use."""


def colour(name: str) -> str:
    """The colour in which a picture is drawn; `var(--name)` replaces it on the page."""
    return LIGHT[name]


def variable(hexadecimal: str) -> str | None:
    """The CSS variable that stands for a colour of `LIGHT`, if it is one."""
    for name, value in LIGHT.items():
        if value == hexadecimal.lower():
            return f"var(--{name})"
    return None


def declarations(colours: Mapping[str, str]) -> str:
    """Colours as CSS declarations."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours as WCAG 2 defines it, from 1 to 21.

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    bright, dim = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(hexadecimal: str) -> float:
    parts = [int(hexadecimal[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
