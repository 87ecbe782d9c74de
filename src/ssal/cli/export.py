"""`ssal export`: a trained model as one file for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssal.cli.output import say
from ssal.cli.texts import help_text

HELP = help_text(
    "Write a trained model as one file for another runtime, and check it against the model.",
    "ssal export runs/photos                                 runs/photos/model-joint.onnx",
    "ssal export runs/photos --mode main                     the bare classifier, without branches",
    "ssal export runs/photos --mode explain                  with groups and class activation maps",
    "ssal export runs/photos --format torch-export --out photos.pt2",
    more="""The batch may have any size. Batch norms are folded into the convolutions before them. A file
whose outputs differ from the model's by more than 1e-4 is not written.""",
)


def export(
    run: Annotated[Path, typer.Argument(help="A run directory, or its model/ folder.")],
    format: Annotated[str, typer.Option(help="onnx or torch-export.")] = "onnx",
    mode: Annotated[str, typer.Option(help="main, joint or explain.")] = "joint",
    out: Annotated[Path | None, typer.Option(help="The file; in the run directory if not given.")] = None,
    model: Annotated[
        str | None, typer.Option(help="package.module:callable, for a backbone of your own.")
    ] = None,
) -> None:
    """Write a trained model for another runtime."""
    from ssal.cli.backbone import backbone_factory
    from ssal.errors import unknown_name
    from ssal.export import FORMATS, SUFFIXES
    from ssal.export import export as write
    from ssal.run import load

    if format not in FORMATS:
        raise unknown_name("format", format, list(FORMATS))
    path = out or run / f"model-{mode}{SUFFIXES[format]}"
    done = write(
        load(run, backbone=backbone_factory(model), device="cpu").saved, path, format=format, mode=mode
    )
    say(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, outputs {', '.join(done.outputs)}")
    say(
        f"{done.folded} batch norms folded; largest difference to the model {done.difference:.1e}, "
        "allowed 1e-04"
    )
