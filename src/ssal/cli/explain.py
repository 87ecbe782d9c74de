"""`ssal explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssal.cli.backbone import backbone_factory
from ssal.cli.output import say
from ssal.cli.texts import help_text

HELP = help_text(
    "Explain a prediction: what each part contributed, which one decided, and where it looked.",
    "ssal explain runs/glyphs-1 letter.png",
    "ssal explain runs/photos cat.jpg --out evidence/",
    more="""The joint log-probability of a class is a sum over the main classifier and the branches. The table
shows its terms for the five most probable classes; its last columns show how far each part favours the winner
over the second, and which class would win without it. The folder gets evidence.json, explain.png with
everything at a glance, and a class activation map for each part.""",
)


def explain(
    run: Annotated[Path, typer.Argument(help="Run directory.", show_default=False)],
    image: Annotated[Path, typer.Argument(help="Image file.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; RUN/explain/NAME OF THE IMAGE if not given.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="package.module:callable that makes the backbone, where the run needs it."),
    ] = None,
) -> None:
    """Explain a prediction: what each part contributed, which one decided, and where it looked."""
    from ssal.evidence.table import format_evidence
    from ssal.run import load
    from ssal.run.explained import file_name, write_explanation

    folder = out or run / "explain" / file_name(image.stem)
    evidence = write_explanation(load(run, backbone=backbone_factory(model)), image, folder)
    say(f"{image}: {format_evidence(evidence)}\n\nsaved in {folder}: explain.png, evidence.json")
