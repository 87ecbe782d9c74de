"""Time of a prediction by the main classifier of a run by that of the bare backbone."""

import tempfile
from pathlib import Path

from harness import Ratio, arguments, medians, one_thread, paired_ratio, seconds, take_turns

one_thread()

import material  # noqa: E402
import torch  # noqa: E402

from ssal.run import load  # noqa: E402
from ssal.run.backbone import build_backbone  # noqa: E402
from ssal.run.saved import save_model  # noqa: E402


def main() -> None:
    given = arguments(60, [("width", int, 16, "channels"), ("batch", int, 64, "images")])
    saved = material.saved(given.width)
    with tempfile.TemporaryDirectory() as name:
        save_model(Path(name), saved, "benchmark")
        predictor = load(name, "main", device="cpu")
    bare = build_backbone(saved.backbone).eval()
    images = torch.randn(given.batch, *material.SHAPE)

    def backbone() -> None:
        with torch.inference_mode():
            bare(images)

    sides = {"f only": seconds(lambda: predictor.outputs(images)), "bare backbone": seconds(backbone)}
    figures = take_turns(sides, given.rounds, warm_up=3)
    settings = {"width": given.width, "batch": given.batch, "unit": "s"}
    ratio = paired_ratio(figures, "f only", "bare backbone")
    Ratio("f only ÷ bare backbone", ratio, 1.01, "at most", medians(figures), settings).print()


if __name__ == "__main__":
    main()
