"""`ssal explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ssal.cli.backbone import backbone_factory
from ssal.cli.output import say
from ssal.cli.texts import help_text
from ssal.errors import InputError
from ssal.text import visible

HELP = help_text(
    "Explain a prediction: what each part contributed, which one decided, and where it looked.",
    "ssal explain runs/glyphs-1 letter.png",
    "ssal explain runs/photos cat.jpg --out evidence/",
    "ssal explain runs/photos --check                    are the maps true?",
    "ssal explain runs/photos --check --against runs/random-groups",
    more="""The joint log-probability of a class is a sum over the main classifier and the branches. The table
shows its terms for the five most probable classes; its last columns show how far each part favours the winner
over the second, and which class would win without it. The folder gets evidence.json, explain.png with
everything at a glance, and a class activation map for each part.

--check takes no image: it tests the maps on test images of the run. Pixels are deleted and inserted in the
order of the map, against random maps, a mark in the centre, and the map for something else; then the weights
are made random, which must change the map. Writes eval/explanations.json.""",
)


def explain(
    run: Annotated[Path, typer.Argument(help="Run directory.", show_default=False)],
    image: Annotated[
        Path | None, typer.Argument(help="Image file; not with --check.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the files; RUN/explain/NAME OF THE IMAGE or RUN/eval if not given."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="package.module:callable that makes the backbone, where the run needs it."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Test whether the maps are true.")] = False,
    images: Annotated[
        int | None, typer.Option(help="--check: number of test images; 100 if not given.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="--check: a run on the same data to compare with.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="--check: blur (default) or mean, in the place of a removed pixel.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="--check: of everything random; 0 if not given.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="--check: where the files of named data are.")] = None,
) -> None:
    """Explain a prediction: what each part contributed, which one decided, and where it looked."""
    options = {"images": images, "baseline": baseline, "seed": seed}
    given = {name: value for name, value in options.items() if value is not None}
    if check:
        if image is not None:
            raise InputError(f"--check tests the maps on test images of the run; leave {str(image)!r} out")
        _check(run, given, against=against, out=out, data_dir=data_dir, backbone=backbone_factory(model))
        return
    for name, value in {**options, "against": against, "data-dir": data_dir}.items():
        if value is not None:
            raise InputError(f"--{name} belongs to --check")
    if image is None:
        raise InputError("which image? name its file; or --check to test the maps on test images of the run")
    _explain(run, image, out, model)


def _check(run: Path, options: dict[str, Any], **how: Any) -> None:
    from ssal.evidence.faithfulness import format_checks
    from ssal.run.faithfulness import CheckOptions, check_run

    checks, path = check_run(run, CheckOptions(**options), **how)
    say(f"{run}: {format_checks(checks)}\n\nsaved in {path}")


def _explain(run: Path, image: Path, out: Path | None, model: str | None) -> None:
    from ssal.evidence.table import format_evidence
    from ssal.run import load
    from ssal.run.explained import file_name, write_explanation

    folder = out or run / "explain" / file_name(image.stem)
    evidence = write_explanation(load(run, backbone=backbone_factory(model)), image, folder)
    name = visible(str(image), keep="")
    say(f"{name}: {format_evidence(evidence)}\n\nsaved in {folder}: explain.png, evidence.json")
