"""The page itself: a place to drop an image, a few test images, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ssal.demo.answer import find_answer
from ssal.demo.page import (
    render_answer,
    render_head,
    render_hint,
    render_refusal,
    render_samples,
    render_waiting,
    style,
)
from ssal.demo.samples import Sample
from ssal.errors import SsalError
from ssal.evidence.table import readable
from ssal.run import Predictor

# How many predictions may wait; who comes later is told so.
_QUEUE = 8
# A click on a test image says which one it was.
_CHOOSE = """
element.addEventListener("click", event => {
  const chosen = event.target.closest("button[data-index]");
  if (!chosen) return;
  for (const button of element.querySelectorAll("button")) button.ariaPressed = String(button === chosen);
  trigger("click", { index: Number(chosen.dataset.index) });
});
"""
_UNCHOOSE = """
() => {
  for (const button of document.querySelectorAll(".ssal-samples button")) button.ariaPressed = "false";
}
"""
# On a phone the answer is below what it answers.
_SHOW = """
watch("value", () => {
  if (matchMedia("(max-width: 640px)").matches) element.scrollIntoView({ behavior: "smooth" });
});
"""


def build_page(predictor: Predictor, name: str, samples: Sequence[Sample]) -> gr.Blocks:
    """Build the page; one prediction is made at a time.

    Args:
        predictor: the model, in mode `joint`.
        name: what to call the model.
        samples: test images to choose from.
    """

    def of_file(path: str) -> tuple[str, None]:
        file = Path(path)
        try:
            # The empty drop zone is ready for the next file.
            return _answer(predictor, file, file.name), None
        finally:
            file.unlink(missing_ok=True)

    def of_sample(event: gr.EventData) -> str:
        return _of_sample(predictor, samples[int(event.index)])

    title = f"ssal demo: {readable(name, 40)}"
    with gr.Blocks(title=title, fill_width=True, analytics_enabled=False, delete_cache=(300, 300)) as page:
        gr.HTML(render_head(name, predictor), apply_default_css=False)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                file = gr.File(label="Image", show_label=False, height=180, elem_id="drop")
                gallery = _gallery(samples)
                gr.HTML(render_hint(bool(samples)), apply_default_css=False)
            with gr.Column(scale=3, min_width=320):
                # The first answer is there before anybody asks, and it warms the network up.
                first = _of_sample(predictor, samples[0]) if samples else render_waiting()
                result = gr.HTML(first, elem_id="answer", js_on_load=_SHOW, apply_default_css=False)
        common: dict[str, Any] = {
            "concurrency_limit": 1, "concurrency_id": "model", "api_visibility": "private",
        }  # fmt: skip
        file.upload(of_file, file, [result, file], show_progress_on=result, **common)
        file.upload(None, js=_UNCHOOSE)
        if gallery is not None:
            gallery.click(of_sample, None, result, **common)
    return page.queue(max_size=_QUEUE, api_open=False)


def _gallery(samples: Sequence[Sample]) -> gr.HTML | None:
    if not samples:
        return None
    return gr.HTML(render_samples(samples), js_on_load=_CHOOSE, apply_default_css=False)


def page_settings() -> dict[str, Any]:
    """Theme and style sheet, with fonts of the system only: nothing is fetched from elsewhere."""
    sans, mono = ("system-ui", "sans-serif"), ("ui-monospace", "DejaVu Sans Mono", "Consolas", "monospace")
    theme = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="zinc",
        font=[gr.themes.Font(name) for name in sans],
        font_mono=[gr.themes.Font(name) for name in mono],
    )
    return {"theme": theme, "css": style()}


def _answer(predictor: Predictor, source: Any, name: str, truth: str | None = None) -> str:
    try:
        return render_answer(find_answer(predictor, source, name, truth))
    except SsalError as error:
        return render_refusal(str(error))


def _of_sample(predictor: Predictor, sample: Sample) -> str:
    return _answer(predictor, sample.pixels, "test image", sample.truth)
