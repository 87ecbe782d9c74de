"""Forward pass with the joint probability by the forward pass alone, at 1,000 classes."""

from harness import Ratio, arguments, medians, one_thread, paired_ratio, seconds, take_turns

one_thread()

import material  # noqa: E402
import torch  # noqa: E402

from ssal.joint import joint_log_prob  # noqa: E402


def main() -> None:
    given = arguments(30, [("width", int, 64, "channels"), ("batch", int, 64, "images")])
    model = material.network(given.width, (200, 334, 500), classes=1000).eval()
    images = torch.randn(given.batch, *material.SHAPE)

    def forward() -> None:
        with torch.inference_mode():
            model(images)

    def joint() -> None:
        with torch.inference_mode():
            joint_log_prob(model(images), model.labels, (0.3, 0.3, 0.3))

    figures = take_turns({"forward": seconds(forward), "joint": seconds(joint)}, given.rounds, warm_up=3)
    settings = {"width": given.width, "batch": given.batch, "classes": 1000, "branches": 3, "unit": "s"}
    ratio = paired_ratio(figures, "joint", "forward")
    Ratio("joint probability ÷ forward", ratio, 1.02, "at most", medians(figures), settings).print()


if __name__ == "__main__":
    main()
