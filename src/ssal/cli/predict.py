"""`ssal predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssal.cli.backbone import backbone_factory
from ssal.cli.output import complain, say
from ssal.cli.texts import help_text

if TYPE_CHECKING:
    from ssal.run.rows import Totals

HELP = help_text(
    "Predict images: class, probability, top five, and the group that each branch saw.",
    "ssal predict runs/glyphs-1 letter.png",
    "ssal predict runs/photos new/ --out predictions.csv",
    "ssal predict runs/photos new/ --abstain 0.02                at most 2 % of the answers wrong",
    "ssal predict runs/photos new/ --abstain 0.02 --back-off     or a group, where the class is unsure",
    more="""With --abstain RISK, images that the model is not sure enough of get no answer, but
the reason. Of the answers given, at most the share RISK is wrong, with 90 % confidence, for images like
those of training; the first line says what the promise rests on, and what became of it on the test images.

An image that cannot be read gets a row with the error; the rest goes on,
and the exit status is 1.""",
)


def predict(
    run: Annotated[Path, typer.Argument(help="Run directory.", show_default=False)],
    images: Annotated[list[Path], typer.Argument(help="Image files and folders.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="File for the result, .csv or .jsonl; printed if not given.")
    ] = None,
    mode: Annotated[str, typer.Option(help="joint, or main for the main classifier alone.")] = "joint",
    abstain: Annotated[
        float | None, typer.Option(metavar="RISK", help="Allowed share of wrong answers, such as 0.02.")
    ] = None,
    back_off: Annotated[
        bool,
        typer.Option(
            "--back-off", help="With --abstain: answer with a group of classes where the class is unsure."
        ),
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Write the evidence of each prediction, beside --out or in RUN/explain."
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="package.module:callable that makes the backbone, where the run needs it."),
    ] = None,
) -> None:
    """Predict images: class, probability, top five, and the group that each branch saw."""
    from ssal.errors import InputError
    from ssal.run import load, write_predictions
    from ssal.run.predictor import image_files
    from ssal.run.rows import FORMATS, print_predictions

    if out is not None and out.suffix not in FORMATS:
        raise InputError(f"--out must end in {' or '.join(FORMATS)}, not {out.name!r}")
    if back_off and abstain is None:
        raise InputError("--back-off needs --abstain RISK, such as --abstain 0.02")
    if explain and mode == "main":
        raise InputError("--explain needs the branches; leave out --mode main")
    files = image_files(images)
    predictor = load(run, mode, backbone=backbone_factory(model))  # type: ignore[arg-type]
    if abstain is not None:
        predictor = predictor.backing_off(abstain) if back_off else predictor.abstaining(abstain)
    as_text = sys.stdout.isatty()
    if predictor.rule is not None:
        # In a pipe, standard output is for rows.
        (say if as_text or out is not None else complain)(str(predictor.rule.guarantee))
    if out is None:
        folder = run / "explain" if explain else None
        totals = print_predictions(predictor, files, say, as_text=as_text, explanations=folder)
    else:
        folder = out.with_name(f"{out.stem}-explained") if explain else None
        totals = write_predictions(predictor, files, out, explanations=folder)
        say(f"{len(files) - totals.failed} predictions in {out}{_described(totals, abstain)}")
    if totals.failed:
        complain(f"ssal: {totals.failed} of {len(files)} images could not be read; see their rows")
        raise typer.Exit(1)


def _described(totals: Totals, abstain: float | None) -> str:
    if abstain is None:
        return ""
    groups = f", {totals.groups} with a group" if totals.groups else ""
    return f": {totals.classes} with a class{groups}, {totals.abstained} without an answer"
