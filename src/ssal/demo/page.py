"""From an answer to the HTML that shows it; every name in it is text, never markup."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from ssal.demo.answer import Answer
from ssal.demo.samples import Sample
from ssal.evidence import Evidence
from ssal.evidence.overlay import enlarge, overlay
from ssal.evidence.table import describe_map, describe_members, readable, verdict
from ssal.run import Predictor

_MEMBERS = 9
_THUMBNAIL = 128


def render_answer(answer: Answer) -> str:
    """The prediction, its rivals, what each part saw, and how the parts add up, as one HTML element."""
    evidence, pixels = answer.evidence, answer.pixels
    pictures = [
        None if part.map is None else _data_uri(Image.fromarray(overlay(pixels, part.map)))
        for part in evidence.parts
    ]
    captions = ["" if part.map is None else describe_map(evidence, part) for part in evidence.parts]
    members = [describe_members(evidence, part, _MEMBERS) for part in evidence.parts]
    return _render(
        "answer.html",
        answer=answer,
        evidence=evidence,
        seen=_data_uri(enlarge(pixels)),
        agreement=agreement(evidence),
        unanimous=all(part.agrees for part in evidence.parts if part.tap is not None),
        verdict=verdict(evidence),
        cards=list(zip(evidence.parts, pictures, captions, members, strict=True)),
        sums=[value + evidence.log_normaliser for value in evidence.log_probabilities],
        longest=max(abs(margin) for margin in _margins(evidence)) or 1.0,
    )


def _margins(evidence: Evidence) -> list[float]:
    """What the bars show: of each part, and of what fused branches have read."""
    shares = [share.leads[1] for part in evidence.parts for share in part.shares]
    return [part.margin for part in evidence.parts] + shares


def render_refusal(sentence: str) -> str:
    """A sentence in the place of an answer."""
    return _render("refusal.html", sentence=sentence)


def render_waiting() -> str:
    """What to do, in the place of an answer."""
    return _render("waiting.html")


def render_head(name: str, predictor: Predictor) -> str:
    """The head of the page: which model answers here."""
    saved = predictor.saved
    return _render("head.html", name=name, saved=saved, branches=len(saved.model.specs))


def render_samples(samples: Sequence[Sample]) -> str:
    """The test images to choose from, each a button with its place as `data-index`."""
    pictures = [(_data_uri(_thumbnail(sample)), sample.truth) for sample in samples]
    return _render("samples.html", samples=pictures)


def render_hint(samples: bool) -> str:
    """What becomes of an image, and, if there are any, how the test images were chosen."""
    return _render("hint.html", samples=samples)


@cache
def style() -> str:
    """The style sheet of the page."""
    return _render("demo.css")


def agreement(evidence: Evidence) -> str:
    """A sentence that says which branches predict the winner, or a group that holds it.

    Its names may be hostile: who puts it into a page escapes them.
    """
    branches = [part for part in evidence.parts if part.tap is not None]
    against = [readable(part.name, 32) for part in branches if not part.agrees]
    winner = readable(evidence.class_name, 32)
    if not branches:
        return "This model has no branches that could agree or disagree."
    if not against:
        if len(branches) == 1:
            return f"The branch agrees: what it predicts is or holds {winner}."
        return f"All {len(branches)} branches agree: what each predicts is or holds {winner}."
    *others, last = against
    named = f"{', '.join(others)} and {last} predict" if others else f"{last} predicts"
    agree = f"{evidence.agreement} of {len(branches)} branches agree"
    return f"{agree}: {named} a class or group without {winner}."


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ssal.demo"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "readable": readable,
        "name": partial(readable, width=60),
        "label": partial(readable, width=16),
        "percent": _percent,
        "signed": _signed,
    }
    return environment


def _percent(value: float) -> str:
    """A probability in percent; neither 100.0 nor 0.0 where it is less or more.

    >>> _percent(0.99999), _percent(0.5), _percent(1e-9)
    ('> 99.9 %', '50.0 %', '< 0.1 %')
    """
    if 0.9995 <= value < 1:
        return "> 99.9 %"
    return "< 0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %"


def _signed(value: float) -> str:
    """Two digits with a proper minus, and none before a zero.

    >>> _signed(-1.234), _signed(-0.001)
    ('−1.23', '0.00')
    """
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _thumbnail(sample: Sample) -> Image.Image:
    pixels = sample.pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return image


def _data_uri(image: Image.Image) -> str:
    """A picture inside the page, as JPEG: five of a photograph take 0.04 s, as PNG 0.27 s."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
