"""Share of a training step that goes into copies: of tensors by PyTorch, and of what oneDNN lays out anew."""

import subprocess
import sys

from harness import Ratio, arguments, one_thread

one_thread()

import copies  # noqa: E402
import material  # noqa: E402
import torch  # noqa: E402
from branch_step import stepper  # noqa: E402

from ssal.training import Precision, keep_freed_memory  # noqa: E402
from ssal.training.memoryformat import safe_channels_last  # noqa: E402


def alone(width: int, batch: int, precision: Precision) -> None:
    """One step of the trainer; what oneDNN does is on standard output."""
    keep_freed_memory()
    network = material.default_network(width)
    step = stepper(network, batch, precision)
    with safe_channels_last(network):
        step()
        with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
            step()


def _say(name: str, sides: tuple[str, str], found: copies.Found, settings: dict[str, object]) -> None:
    Ratio(
        name,
        found.copying / found.all,
        0.02,
        "at most",
        {sides[0]: found.copying, sides[1]: found.all},
        settings | {f"{sides[0]} of activations": found.of_activations},
    ).print()


def main() -> None:
    given = arguments(
        3,
        [
            ("width", int, 16, "channels"),
            ("batch", int, 128, "images"),
            ("alone", str, "", "precision of one step, in this process"),
        ],
    )
    if given.alone:
        alone(given.width, given.batch, given.alone)
        return
    network, precision = material.default_network(given.width), material.precision(given.width)
    step = stepper(network, given.batch, precision)
    settings = {"width": given.width, "batch": given.batch, "precision": precision, "unit": "ms"}
    with safe_channels_last(network):
        step()
        found = copies.by_pytorch(step, given.batch, rounds=given.rounds)
    _say("copies by PyTorch ÷ step", ("copies", "step"), found, settings)
    size = ["--width", str(given.width), "--batch", str(given.batch)]
    done = subprocess.run(
        [sys.executable, __file__, "--alone", precision, *size], check=True, capture_output=True, text=True
    )
    found = copies.by_onednn(done.stdout, given.batch)
    _say("layouts changed by oneDNN ÷ its work", ("reorders", "all"), found, settings)


if __name__ == "__main__":
    main()
