"""`ssal report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssal.cli.backbone import backbone_factory
from ssal.cli.output import say
from ssal.cli.texts import help_text

HELP = help_text(
    "Write the report of a run as one HTML file, or compare runs.",
    "ssal report runs/glyphs-1                      runs/glyphs-1/report.html",
    "ssal report runs/glyphs-1 --out glyphs.html",
    "ssal report runs/g0 runs/g1 runs/g2            compare.html",
    "ssal report runs/plain runs/wide --out wide.html",
    more="""The file needs no network and no other file: open it in a browser, print it, send it. It shows
what the branches bring and where they do not help, which errors they repaired and caused, the groups,
the confusion, how far the probabilities can be trusted, the curves, and how to run it again. Sample
images are in it where the data set can still be opened.

Of several runs, the first is what the others are held against: results side by side, settings that
differ, curves, and tests on the same test images.""",
)


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run directories, one or several.", show_default=False),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file; RUN/report.html, or compare.html, if not given.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="package.module:callable that makes the backbone, where the run needs it."),
    ] = None,
) -> None:
    """Write the report of a run as one HTML file, or compare runs."""
    from ssal.api import write_report

    say(f"report: {write_report(*runs, out=out, backbone=backbone_factory(model))}")
