"""`ssal predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ssal.cli.backbone import backbone_factory
from ssal.cli.output import complain, say
from ssal.cli.texts import help_text

HELP = help_text(
    "Predict images: class, probability, top five, and the group that each branch saw.",
    "ssal predict runs/glyphs-1 letter.png",
    "ssal predict runs/photos new/ --out predictions.csv",
    more="""An image that cannot be read gets a row with the error; the rest goes on,
and the exit status is 1.""",
)


def predict(
    run: Annotated[Path, typer.Argument(help="Run directory.", show_default=False)],
    images: Annotated[list[Path], typer.Argument(help="Image files and folders.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="File for the result, .csv or .jsonl; printed if not given.")
    ] = None,
    mode: Annotated[str, typer.Option(help="joint, or main for the main classifier alone.")] = "joint",
    model: Annotated[
        str | None,
        typer.Option(help="package.module:callable that makes the backbone, where the run needs it."),
    ] = None,
) -> None:
    """Predict images: class, probability, top five, and the group that each branch saw."""
    from ssal.run import load, write_predictions
    from ssal.run.predictor import image_files
    from ssal.run.rows import FORMATS, print_predictions

    if out is not None and out.suffix not in FORMATS:
        from ssal.errors import InputError

        raise InputError(f"--out must end in {' or '.join(FORMATS)}, not {out.name!r}")
    files = image_files(images)
    predictor = load(run, mode, backbone=backbone_factory(model))  # type: ignore[arg-type]
    if out is None:
        failures = print_predictions(predictor, files, say, as_text=sys.stdout.isatty())
    else:
        failures = write_predictions(predictor, files, out)
        say(f"{len(files) - failures} predictions in {out}")
    if failures:
        complain(f"ssal: {failures} of {len(files)} images could not be read; see their rows")
        raise typer.Exit(1)
