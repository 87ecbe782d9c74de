"""Time of the exported joint prediction by that of the model in eager mode, on the CPU."""

import tempfile
from pathlib import Path

from harness import Ratio, arguments, medians, one_thread, paired_ratio, seconds, take_turns

one_thread()

import material  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402

from ssal.data import Preprocess  # noqa: E402
from ssal.export import export  # noqa: E402
from ssal.joint import Exponents  # noqa: E402
from ssal.run.saved import BackboneSpec, SavedModel  # noqa: E402

_GROUPS = (20, 33, 50)


def saved(width: int) -> SavedModel:
    """An untrained model with three branches, as a run would save it."""
    spec = BackboneSpec(name="resnet18_cifar", num_classes=100, in_chans=3, input_size=(32, 32), width=width)
    model = material.network(width, _GROUPS).eval()
    names = tuple(str(name) for name in range(100))
    preprocess = Preprocess(3, (32, 32), material.MEAN, material.STD)
    return SavedModel(model, spec, names, preprocess, Exponents(1.0, (0.3, 0.3, 0.3)))


def main() -> None:
    given = arguments(20, [("width", int, 16, "channels"), ("batch", int, 64, "images")])
    model = saved(given.width).model
    images = torch.randn(given.batch, *material.SHAPE)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.onnx"
        export(saved(given.width), path)
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
