"""Time of the exported joint prediction by that of the model in eager mode, on the CPU."""

import tempfile
from pathlib import Path

from harness import Ratio, arguments, medians, one_thread, paired_ratio, seconds, take_turns

one_thread()

import material  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402

from ssal.export import export  # noqa: E402


def main() -> None:
    given = arguments(20, [("width", int, 16, "channels"), ("batch", int, 64, "images")])
    model = material.saved(given.width).model
    images = torch.randn(given.batch, *material.SHAPE)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.onnx"
        export(material.saved(given.width), path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def eager() -> None:
        with torch.inference_mode():
            model.log_prob(images)

    sides = {
        "exported": seconds(lambda: session.run(None, {"images": images.numpy()})),
        "eager": seconds(eager),
    }
    figures = take_turns(sides, given.rounds, warm_up=3)
    settings = {"width": given.width, "batch": given.batch, "branches": 3, "format": "onnx", "unit": "s"}
    ratio = paired_ratio(figures, "exported", "eager")
    Ratio("exported ÷ eager inference", ratio, 0.70, "at most", medians(figures), settings).print()


if __name__ == "__main__":
    main()
