"""`ssal eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssal.cli.backbone import backbone_factory
from ssal.cli.output import say
from ssal.cli.texts import help_text

HELP = help_text(
    "Measure a trained model again, on its test data or on other data.",
    "ssal eval runs/glyphs-1",
    "ssal eval runs/photos --data new-photos/",
    "ssal eval runs/photos --hierarchy superclasses.json",
    more="""Prints the result table, how well probabilities are calibrated, how well each score finds errors,
and what can be promised where an answer may be refused or be a group. Writes eval/predictions.parquet and
eval/metrics.json in the run, for other data in a folder of their name there. The hierarchy is a JSON object
that names the superclass of each class.""",
)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run directory.", show_default=False)],
    data: Annotated[str | None, typer.Option(help="Other data with the same classes.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the files of named data are.")] = None,
    hierarchy: Annotated[
        Path | None, typer.Option(help="JSON file: class to superclass, for the severity of mistakes.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="package.module:callable that makes the backbone, where the run needs it."),
    ] = None,
) -> None:
    """Measure a trained model again, on its test data or on other data."""
    from ssal.run import evaluate_run

    factory = backbone_factory(model)
    say(evaluate_run(run, data=data, data_dir=data_dir, hierarchy=hierarchy, backbone=factory))
