"""Time of a training step with the default branches by that without, over the same ratio of the FLOPs."""

from harness import Ratio, arguments, medians, one_thread, paired_ratio, seconds, take_turns

one_thread()

import material  # noqa: E402
import torch  # noqa: E402

from ssal.config import DistillationSettings  # noqa: E402
from ssal.cost import count_flops  # noqa: E402
from ssal.model import SSALModel  # noqa: E402
from ssal.training import JointLoss, Precision, TrainingPlan, keep_freed_memory  # noqa: E402
from ssal.training.memoryformat import safe_channels_last  # noqa: E402
from ssal.training.plan import make_optimizer  # noqa: E402


def stepper(model: SSALModel, batch_size: int, precision: Precision, shape: tuple[int, ...] = material.SHAPE):
    """One step of the optimiser as the trainer does it."""
    model.to(memory_format=torch.channels_last).train()
    optimizer = make_optimizer(model, TrainingPlan(epochs=1))
    images = torch.randn(batch_size, *shape).contiguous(memory_format=torch.channels_last)
    targets = torch.randint(0, model.num_classes, (batch_size,))
    objective = JointLoss(distillation=DistillationSettings().weight)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = objective(model, images, targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    given = arguments(30, [("width", int, 16, "channels")])
    keep_freed_memory()
    precision = material.precision(given.width)
    plain, branched = material.network(given.width), material.default_network(given.width)
    flops = count_flops(branched, material.SHAPE) / count_flops(plain, material.SHAPE)
    sides = {
        "without": seconds(stepper(plain, 128, precision)),
        "with": seconds(stepper(branched, 128, precision)),
    }
    with safe_channels_last(plain), safe_channels_last(branched):
        figures = take_turns(sides, given.rounds, warm_up=3)
    ratio = paired_ratio(figures, "with", "without")
    settings = {
        "width": given.width,
        "batch": 128,
        "precision": precision,
        "time_ratio": ratio,
        "flops_ratio": flops,
        "unit": "s",
    }
    Ratio(
        "step with branches ÷ without, by FLOPs", ratio / flops, 1.03, "at most", medians(figures), settings
    ).print()


if __name__ == "__main__":
    main()
