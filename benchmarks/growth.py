"""How costs grow with classes, branches, image size and data set size; draws a picture of each.

The pictures are drawn from `growth.json`, which lies beside them; `--draw 1` does only that.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from harness import Ratio, arguments, one_thread, seconds

one_thread()

import growth_pictures  # noqa: E402
import material  # noqa: E402
import torch  # noqa: E402
from branch_step import stepper  # noqa: E402
from folder_start import link_folder  # noqa: E402
from grouping_sparse import confusion  # noqa: E402

from ssal import Branch, Grouping, SSALModel  # noqa: E402
from ssal.backbones import create_backbone  # noqa: E402
from ssal.cost import count_flops  # noqa: E402
from ssal.data import open_data  # noqa: E402
from ssal.grouping import group_classes  # noqa: E402
from ssal.joint import Outputs, joint_log_prob, label_map  # noqa: E402
from ssal.training import keep_freed_memory  # noqa: E402

_SHAPE = (3, 32, 32)
_TAPS = ("layer1", "layer2", "layer3")
_BATCH = 32


def shortest(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest of some rounds, the first left out: what a slow moment adds is no growth."""
    side = seconds(work)
    side()
    return min(side() for _ in range(rounds))


def network(branches: int, classes: int = 100, shape: tuple[int, int, int] = _SHAPE) -> SSALModel:
    """A ResNet-18 of width 16 whose branches share three layers."""
    torch.manual_seed(0)
    backbone = create_backbone("resnet18_cifar", classes, input_size=shape[1:], width=16)
    groups = max(2, classes // 5)
    specs = [
        Branch(_TAPS[number % len(_TAPS)], Grouping.random(classes, groups, seed=number))
        for number in range(branches)
    ]
    return SSALModel(backbone, specs, shape)


def by_classes(sizes: Iterable[int], rounds: int) -> dict[str, Any]:
    """Seconds to group sparse confusions, to combine predictions, and of a step with three branches."""
    rows: dict[str, list[list[float]]] = {"groups": [], "joint probability": [], "training step": []}
    for classes in sizes:
        find = partial(group_classes, confusion(classes), max(2, classes // 5))
        rows["groups"].append([classes, shortest(find, 1)])
        groupings = [Grouping.random(classes, max(2, classes // part), 0) for part in (5, 3, 2)]
        outputs = Outputs(
            torch.randn(_BATCH, classes), tuple(torch.randn(_BATCH, each.num_groups) for each in groupings)
        )
        combine = partial(joint_log_prob, outputs, [label_map(each) for each in groupings], (0.3,) * 3)
        rows["joint probability"].append([classes, shortest(combine, 3 * rounds)])
        step = stepper(network(3, classes), _BATCH, "32")
        rows["training step"].append([classes, shortest(step, rounds)])
    return {"x": "classes", "y": "seconds", "lines": rows}


def by_branches(numbers: Iterable[int], rounds: int) -> dict[str, Any]:
    """Seconds of a step, and what its FLOPs say that it should take."""
    models = {number: network(number) for number in numbers}
    times = [[number, shortest(stepper(model, _BATCH, "32"), rounds)] for number, model in models.items()]
    flops = {number: count_flops(model, _SHAPE) for number, model in models.items()}
    first, base = times[0]
    expected = [[number, base * flops[number] / flops[int(first)]] for number in models]
    return {"x": "branches", "y": "seconds", "lines": {"training step": times, "by FLOPs": expected}}


def predict(model: SSALModel, images: torch.Tensor) -> None:
    """The joint prediction of a batch."""
    with torch.inference_mode():
        model.log_prob(images)


def by_size(sides: Iterable[int], rounds: int) -> dict[str, Any]:
    """Seconds per image of a step and of a prediction, by pixels."""
    batch = 8
    rows: dict[str, list[list[float]]] = {"training step": [], "prediction": []}
    for side in sides:
        shape = (3, side, side)
        model = network(3, shape=shape)
        step = stepper(model, batch, "32", shape)
        rows["training step"].append([side * side, shortest(step, rounds) / batch])
        answer = partial(predict, model.eval(), torch.randn(batch, *shape))
        rows["prediction"].append([side * side, shortest(answer, rounds) / batch])
    return {"x": "pixels of an image", "y": "seconds per image", "lines": rows}


def run_through(loader: Iterable[object]) -> None:
    """One epoch of the input alone."""
    for _ in loader:
        pass


def by_data(sizes: Iterable[int], rounds: int) -> dict[str, Any]:
    """Seconds of an epoch of the input from memory, and to open a folder of as many files."""
    rows: dict[str, list[list[float]]] = {"input from memory, an epoch": [], "opening a folder": []}
    for size in sizes:
        loader = material.train_batches(material.images(size), 128)(rank=0, world_size=1)
        rows["input from memory, an epoch"].append([size, shortest(partial(run_through, loader), rounds)])
        with tempfile.TemporaryDirectory() as name:
            link_folder(Path(name), size, classes=max(2, size // 100))
            start = partial(open_data, Path(name) / "images", in_memory=False, check_files=False)
            rows["opening a folder"].append([size, shortest(start, 1)])
    return {"x": "images", "y": "seconds", "lines": rows}


def exponent(points: list[list[float]]) -> float:
    """Slope between the last two points where both axes are logarithmic: 1 is in proportion."""
    (x0, y0), (x1, y1) = points[-2:]
    return math.log(y1 / y0) / math.log(x1 / x0)


def report(measured: dict[str, Any]) -> None:
    """Print one JSON line for each line of the pictures."""
    for name, panel in measured.items():
        for label, points in panel["lines"].items():
            sides = {f"{x:g}": y for x, y in points}
            if name == "branches":
                continue
            # Twice the classes may take a little more than twice the time to sort.
            target = 1.25 if label == "groups" else 1.1
            title = f"growth with {panel['x']}: {label}, exponent"
            Ratio(title, exponent(points), target, "at most", sides, {"unit": panel["y"]}).print()
    lines = measured["branches"]["lines"]
    last, expected = lines["training step"][-1], lines["by FLOPs"][-1]
    sides = {f"{x:g}": y for x, y in lines["training step"]}
    title = f"growth with branches: step with {last[0]:g} ÷ by FLOPs"
    Ratio(title, last[1] / expected[1], 1.03, "at most", sides, {"unit": "s"}).print()


def main() -> None:
    given = arguments(
        3,
        [
            ("out", Path, Path(__file__).resolve().parents[1] / "docs" / "images", "folder of the pictures"),
            ("largest", int, 100_000, "classes and images at most"),
            ("draw", int, 0, "1: only draw what was measured"),
        ],
    )
    path = given.out / "growth.json"
    if not given.draw:
        keep_freed_memory()
        powers = [10**power for power in range(1, 6) if 10**power <= given.largest]
        measured = {
            "classes": by_classes(powers, given.rounds),
            "branches": by_branches(range(7), given.rounds),
            "size": by_size((16, 32, 48, 64, 96, 128), given.rounds),
            "data": by_data([size for size in powers if size >= 1000], given.rounds),
        }
        report(measured)
        given.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    growth_pictures.draw(json.loads(path.read_text(encoding="utf-8")), given.out)


if __name__ == "__main__":
    main()
