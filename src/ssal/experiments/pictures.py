"""Where each branch looks, beside the labels of the group that it predicts (Figure 6)."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ssal.data import DataBundle
from ssal.evidence import Evidence, Part
from ssal.evidence.overlay import enlarge, overlay
from ssal.experiments.plots import as_svg
from ssal.experiments.store import Store
from ssal.joint import joint_log_prob
from ssal.run.predictor import Predictor
from ssal.run.saved import load_model
from ssal.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OF_EACH_KIND = 2
_SHOWN_LABELS = 6
_LEGEND = (
    "org: network without branches; f: main classifier, g: branches. Under each map the labels of the class "
    "or group that it is for, green where the true class is among them."
)


@dataclass(frozen=True)
class Example:
    """A test image as two networks see it.

    Attributes:
        index: its number among the test images.
        truth: name of its class.
        baseline: evidence of the network without branches.
        evidence: evidence of the network with branches.
        pixels: what the networks saw, uint8 [H, W, 1] or [H, W, 3].
    """

    index: int
    truth: str
    baseline: Evidence
    evidence: Evidence
    pixels: Any

    def to_json(self) -> dict[str, Any]:
        """What the picture shows, as plain values."""
        return {
            "index": self.index,
            "truth": self.truth,
            "baseline": self.baseline.class_name,
            "predicted": self.evidence.class_name,
            "parts": [
                {
                    "part": part.name,
                    "probability": part.probability,
                    "labels": list(self.evidence.names(part.members)),
                    "holds_truth": self.truth in self.evidence.names(part.members),
                    "map": None
                    if part.map is None
                    else [[round(float(v), 4) for v in row] for row in part.map],
                    "method": part.method,
                }
                for part in (*self.baseline.parts, *self.evidence.parts)
            ],
        }


def choose_images(store: Store, digest: str) -> list[int]:
    """Numbers of the first test images that are classified wrong by the joint probability, and right.

    They are the first ones and not chosen by hand. Where there are fewer, fewer are returned.
    """
    result, test = store.read(digest), store.outputs(digest)["test"]
    labels = [torch.tensor(grouping["labels"]) for grouping in result["groupings"]]
    exponents = result["metrics"]["exponents"]
    scores = joint_log_prob(test.outputs, labels, exponents["branches"], exponents["main"])
    right = scores.argmax(dim=1) == test.targets
    wrong, good = (torch.nonzero(mask).flatten().tolist()[:_OF_EACH_KIND] for mask in (~right, right))
    return [*wrong, *good]


def find_examples(store: Store, baseline: str, model: str, data: DataBundle) -> list[Example]:
    """Explain some test images by two trained networks.

    Args:
        store: where the trainings are.
        baseline: digest of the network without branches.
        model: digest of the network with branches.
        data: the data that both were trained on.

    Raises:
        RunError: a model was not kept, or its files are damaged.
    """
    plain, branched = (Predictor(load_model(store.folder(digest) / "model")) for digest in (baseline, model))
    examples: list[Example] = []
    for index in choose_images(store, model):
        image = data.test.image(index)
        examples.append(
            Example(
                index=index,
                truth=data.class_names[int(data.test.targets[index])],
                baseline=plain.explain(image),
                evidence=branched.explain(image),
                pixels=branched.preprocess.pixels(image),
            )
        )
    return examples


def draw_examples(examples: Sequence[Example], title: str) -> tuple[bytes, bytes]:
    """Draw a row for each image: the image, then a map for each part with the labels of its group.

    Returns:
        The picture as SVG and as PNG.
    """
    from matplotlib.figure import Figure

    columns = 2 + max(len(example.evidence.parts) for example in examples)
    height = 3.0 * len(examples) + 0.8
    figure = Figure(figsize=(2.1 * columns, height), dpi=110, facecolor="white")
    figure.suptitle(title, fontsize=11, y=1 - 0.12 / height, parse_math=False)
    figure.text(0.02, 1 - 0.45 / height, _LEGEND, fontsize=8.5, color="#63636e")
    grid = figure.add_gridspec(
        len(examples),
        columns,
        left=0.02,
        right=0.98,
        top=1 - 0.75 / height,
        bottom=0,
        hspace=0.05,
        wspace=0.08,
    )
    for row, example in enumerate(examples):
        _draw_image(figure.add_subplot(grid[row, 0]), example)
        parts = [("org", example.baseline, example.baseline.parts[0])]
        names = ["f", *(f"g{number}" for number in range(1, len(example.evidence.parts)))]
        parts += [
            (name, example.evidence, part) for name, part in zip(names, example.evidence.parts, strict=True)
        ]
        for place, (name, evidence, part) in enumerate(parts, start=1):
            _draw_part(figure.add_subplot(grid[row, place]), example, name, evidence, part)
    return as_svg(figure, title), _as_png(figure)


def _plain(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_anchor("N")
    axes.spines[:].set_visible(False)


def _words(axes: Axes, text: str, colour: str) -> None:
    style: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "ha": "left", "parse_math": False}
    axes.text(0, -0.04, text, fontsize=8, color=colour, **style)


def _draw_image(axes: Axes, example: Example) -> None:
    _plain(axes)
    axes.imshow(enlarge(example.pixels))
    axes.set_title(f"test image {example.index}", fontsize=9)
    verdict = "right" if example.evidence.class_name == example.truth else "wrong"
    lines = [f"is: {example.truth}", f"predicted: {example.evidence.class_name}", verdict]
    _words(axes, "\n".join(visible(line, keep="")[:28] for line in lines), "#1b1b1f")


def _draw_part(axes: Axes, example: Example, name: str, evidence: Evidence, part: Part) -> None:
    _plain(axes)
    if part.map is None:
        axes.imshow(enlarge(example.pixels).convert("L"), cmap="gray", alpha=0.4)
    else:
        axes.imshow(overlay(example.pixels, part.map))
    where = "" if part.tap is None else f"  {visible(part.tap, keep='')}"
    axes.set_title(f"{name}{where}  {100 * part.probability:.0f} %", fontsize=9)
    labels = [visible(label, keep="") for label in evidence.names(part.members)]
    text = ", ".join(labels[:_SHOWN_LABELS]) + (" …" if len(labels) > _SHOWN_LABELS else "")
    holds = example.truth in evidence.names(part.members)
    _words(axes, "\n".join(textwrap.wrap(text, 26)[:5]), "#00695c" if holds else "#b3261e")


def _as_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
