"""`ssal demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssal.cli.backbone import backbone_factory
from ssal.cli.output import say
from ssal.cli.texts import help_text

HELP = help_text(
    "Open a page on this computer: drop an image, see the class and what decided.",
    "ssal demo runs/glyphs-1",
    "ssal demo runs/photos --port 8000",
    more="""The page shows the class with its rivals, the group that each branch saw, whether they agree,
where each part looked, and how the parts add up. It is served to this computer only and asks the network
for nothing; dropped images are not kept. Needs gradio: pip install 'ssal[demo]'.""",
)


def demo(
    run: Annotated[Path, typer.Argument(help="Run directory.", show_default=False)],
    port: Annotated[
        int | None, typer.Option(help="Port of 127.0.0.1; the first free one from 7860 if not given.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="package.module:callable that makes the backbone, where the run needs it."),
    ] = None,
) -> None:
    """Open a page on this computer: drop an image, see the class and what decided."""
    from ssal.demo import run_demo

    run_demo(run, port, backbone=backbone_factory(model), say=say)
