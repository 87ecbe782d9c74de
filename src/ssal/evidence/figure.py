"""A prediction at a glance: the image, the map and group of each part, and how they add up."""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from ssal.evidence.evidence import Evidence, Part
from ssal.evidence.overlay import enlarge, overlay
from ssal.evidence.table import describe_map, describe_members, readable, verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _FAINT, _LINE = "#1b1b1f", "#63636e", "#c8c8d0"
_AGREES, _CONFLICTS = "#00695c", "#b3261e"
# Okabe and Ito's palette: told apart by all kinds of colour vision.
_PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")
# Tells 0 from O and l from I, which matters where they are classes.
_NAMES = "DejaVu Sans Mono"
# Fewer columns would leave no room for the sentences.
_LEAST_COLUMNS, _MOST_COLUMNS = 4, 5
_LINE_HEIGHT = 0.19  # inches
_HATCH = "////"
_MEMBERS = 6
_LEGEND = 25  # characters beside the bars


def evidence_figure(evidence: Evidence, pixels: NDArray[np.uint8]) -> Figure:
    """Draw a prediction: the image, each part's map with the classes it stands for, and the sum.

    Args:
        evidence: evidence of the image.
        pixels: what the network saw, uint8 [H, W, 1] or [H, W, 3].
    """
    from matplotlib.figure import Figure

    panels: list[Part | None] = [None, *evidence.parts]
    columns = min(_MOST_COLUMNS, max(_LEAST_COLUMNS, len(panels)))
    bands = math.ceil(len(panels) / columns)
    sentences = verdict(evidence)
    rivals = _near_rivals(evidence)
    picture = 2.1 * min(1.5, pixels.shape[0] / pixels.shape[1])
    words = [
        0.7 + _LINE_HEIGHT * (1 + max(_lines(part, evidence) for part in panels[start : start + columns]))
        for start in range(0, len(panels), columns)
    ]
    bars = max(0.1 + 0.4 * len(rivals), _LINE_HEIGHT * (1 + len(_pieces(evidence))))
    head, foot = 0.85 + _LINE_HEIGHT * len(sentences), 0.55
    height = head + bands * picture + sum(words) + bars + foot
    figure = Figure(figsize=(2.2 * columns + 0.8, height), dpi=120, facecolor="white")
    grid = figure.add_gridspec(
        2 * bands + 1, columns, height_ratios=[size for below in words for size in (picture, below)] + [bars],
        left=0.06, right=0.98, top=1 - head / height, bottom=foot / height, wspace=0.14, hspace=0,
    )  # fmt: skip
    for number, part in enumerate(panels):
        band, column = divmod(number, columns)
        _draw_panel(figure.add_subplot(grid[2 * band, column]), part, number - 1, evidence, pixels)
        _draw_words(figure.add_subplot(grid[2 * band + 1, column]), part, evidence, words[band])
    _draw_leads(figure.add_subplot(grid[2 * bands, : columns - 1]), evidence, rivals)
    title = f"{readable(evidence.class_name, 40)}  {100 * evidence.probability:.1f} %"
    style: dict[str, Any] = {"va": "top", "color": _INK, "parse_math": False}
    figure.text(0.06, 1 - 0.12 / height, title, fontsize=17, fontweight="bold", family=_NAMES, **style)
    for row, sentence in enumerate(sentences):
        figure.text(0.06, 1 - (0.46 + _LINE_HEIGHT * row) / height, sentence, fontsize=9.5, **style)
    return figure


def draw_evidence(evidence: Evidence, pixels: NDArray[np.uint8], kind: str = "png") -> bytes:
    """The picture of `evidence_figure` as the bytes of a file, `png` or `svg`."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Characters that the font lacks show as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        evidence_figure(evidence, pixels).savefig(buffer, format=kind)
    return buffer.getvalue()


def _colour(number: int) -> str:
    return _PALETTE[number % len(_PALETTE)]


def _draw_panel(
    axes: Axes, part: Part | None, number: int, evidence: Evidence, pixels: NDArray[np.uint8]
) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_anchor("N")
    title = "image" if part is None else f"{readable(part.name, 18)}  η {part.exponent:.2f}"
    axes.set_title(title, fontsize=10, color=_INK, fontweight="bold", parse_math=False, pad=6)
    if part is None:
        axes.imshow(np.asarray(enlarge(pixels)), interpolation="nearest")
    elif part.map is None:
        axes.set_facecolor("#f0f0f2")
        axes.set_box_aspect(pixels.shape[0] / pixels.shape[1])
        axes.text(0.5, 0.5, "no map", ha="center", va="center", color=_FAINT, fontsize=9)
    else:
        axes.imshow(overlay(pixels, part.map), interpolation="nearest")
        axes.set_xlabel(describe_map(evidence, part), fontsize=8, color=_FAINT, parse_math=False, labelpad=3)
    for spine in axes.spines.values():
        spine.set_color(_LINE if part is None else _colour(number))
        spine.set_linewidth(1 if part is None else 2.5)


def _lines(part: Part | None, evidence: Evidence) -> int:
    """Of the words under a panel, below their headline."""
    return len(evidence.candidates if part is None else describe_members(evidence, part, _MEMBERS))


def _draw_words(axes: Axes, part: Part | None, evidence: Evidence, height: float) -> None:
    """Under each panel: the candidates, or what the part predicts and whether it agrees."""
    axes.set_axis_off()
    winner = readable(evidence.class_name)
    if part is None:
        head, colour = "joint probability", _INK
        names = [readable(name, 16) for name in evidence.names(evidence.candidates)]
        lines = [
            f"{name}  {100 * value:.1f} %" for name, value in zip(names, evidence.probabilities, strict=True)
        ]
        bold = [number == 0 for number in range(len(lines))]
    else:
        word, colour = ("agrees", _AGREES) if part.agrees else ("conflicts", _CONFLICTS)
        head = f"{word}  {100 * part.probability:.1f} %"
        lines = describe_members(evidence, part, _MEMBERS)
        bold = [line == winner for line in lines]

    def place(row: float) -> float:
        return 1 - (0.27 + _LINE_HEIGHT * row) / height

    style: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "fontsize": 9, "parse_math": False}
    axes.text(0, place(0), head, color=colour, fontweight="bold", **style)
    for row, (line, strong) in enumerate(zip(lines, bold, strict=True), start=1):
        weight = "bold" if strong else "normal"
        axes.text(
            0, place(row + 0.15), readable(line, 26), color=_INK, fontweight=weight, family=_NAMES, **style
        )


def _make_room(axes: Axes, characters: int) -> None:
    """Move the left edge so that labels of so many characters begin where the panels above do."""
    box = axes.get_position()
    indent = min(0.3 * box.width, 0.085 * characters / cast("Figure", axes.figure).get_figwidth())
    axes.set_position((box.x0 + indent, box.y0, box.width - indent, box.height))


def _near_rivals(evidence: Evidence) -> list[int]:
    """Places of the rivals worth a bar: the first two, and others that are not hopeless."""
    best = evidence.probability
    places = range(1, len(evidence.candidates))
    return [place for place in places if place <= 2 or evidence.probabilities[place] > 0.01 * best]


class _Piece(NamedTuple):
    """One colour of the bars: a part, or what a fused branch has read of one."""

    name: str
    part: int
    leads: tuple[float, ...]
    read: bool = False


def _pieces(evidence: Evidence) -> list[_Piece]:
    """The parts; a fused one in its shares, of which its own features and the bias are one piece."""
    pieces: list[_Piece] = []
    several = sum(bool(part.shares) for part in evidence.parts) > 1
    for number, part in enumerate(evidence.parts):
        by, width = (f" in {readable(part.name, 11)}", 10) if several else (", fused", 18)
        read = [
            _Piece(f"{readable(share.name, width)}{by}", share.part, share.leads, read=True)
            for share in part.shares
            if share.part not in (None, number)
        ]
        rest = [lead - sum(piece.leads[place] for piece in read) for place, lead in enumerate(part.leads)]
        name = f"{readable(part.name, 16)}, the rest" if read else part.name
        pieces += [_Piece(name, number, tuple(rest)), *read]
    return pieces


def _difference(evidence: Evidence) -> str:
    text = "difference of η · log p, part by part"
    return f"{text}; hatched: read by a fused branch" if any(part.shares for part in evidence.parts) else text


def _draw_leads(axes: Axes, evidence: Evidence, rivals: list[int]) -> None:
    """For each rival a bar, stacked from what each part adds to the winner's lead, and a mark at the sum."""
    rows = np.arange(len(rivals))
    right, left = np.zeros(len(rivals)), np.zeros(len(rivals))
    for piece in _pieces(evidence):
        leads = np.array([piece.leads[rival] for rival in rivals])
        axes.barh(
            rows, leads, left=np.where(leads >= 0, right, left), height=0.62, color=_colour(piece.part),
            hatch=_HATCH if piece.read else "", edgecolor="white", linewidth=0.8,
            label=readable(piece.name, _LEGEND),
        )  # fmt: skip
        right, left = right + np.maximum(leads, 0), left + np.minimum(leads, 0)
    sums = [evidence.log_probabilities[0] - evidence.log_probabilities[rival] for rival in rivals]
    axes.plot(
        sums,
        rows,
        "D",
        color=_INK,
        markersize=7,
        markeredgecolor="white",
        label="sum",
        zorder=3,
        clip_on=False,
    )
    axes.axvline(0, color=_INK, linewidth=1)
    names = [readable(evidence.class_names[evidence.candidates[rival]], 16) for rival in rivals]
    axes.set_yticks(rows, names)
    _make_room(axes, max(map(cell_len, names)))
    axes.invert_yaxis()
    axes.tick_params(length=0, labelsize=9, colors=_INK)
    axes.grid(axis="x", color="#e4e4ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    title = f"What puts {readable(evidence.class_name, 16)} ahead of …"
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=_INK, parse_math=False)
    axes.set_xlabel(_difference(evidence), fontsize=9, color=_FAINT, loc="left")
    legend = axes.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.05))
    for text in (*axes.get_yticklabels(), *legend.get_texts()):
        text.set_parse_math(False)
    for label in axes.get_yticklabels():
        label.set_fontfamily(_NAMES)
