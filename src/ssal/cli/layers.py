"""`ssal layers`."""

from __future__ import annotations

from typing import Annotated

import typer

from ssal.cli.output import say
from ssal.cli.texts import help_text

HELP = help_text(
    "List the layers where a branch can be attached.",
    "ssal layers resnet18_cifar --width 16",
    "ssal layers vit_tiny_patch16_224 --depth 2",
    more="""Shows each layer's output, brought to channels × height × width, and what the default branch
would add there, in percent of the network's FLOPs. The taps that auto takes for three branches are
marked.""",
)


def layers(
    model: Annotated[str, typer.Argument(help="timm name, or package.module:callable.", show_default=False)],
    image_size: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Side of the images; the model's own if unset.")
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Channels of the images.")] = 3,
    width: Annotated[int | None, typer.Option(min=1, help="Channels of the first stage.")] = None,
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 100,
    depth: Annotated[int, typer.Option(min=0, help="Show names with at most so many dots.")] = 1,
) -> None:
    """List the layers where a branch can be attached."""
    from ssal.run import describe_layers

    size = None if image_size is None else (image_size, image_size)
    say(describe_layers(model, classes, channels, size, width, depth))
