"""`ssal reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssal.cli.output import complain, say
from ssal.cli.texts import help_text

HELP = help_text(
    "Run a table or figure of the paper again, beside the published figures.",
    "ssal reproduce                         what there is",
    "ssal reproduce table1 --scale smoke    a trial on small data, seconds per training",
    "ssal reproduce table1 table2 --data-dir data --seeds 2",
    "ssal reproduce table1 --show           the table so far",
    "ssal reproduce table1 --cells resnet18,resnet18-2 --set epochs=10",
    more="""Scales: `paper` is as published; `cpu` has narrow networks and few epochs, minutes per training;
`smoke` tries everything on small data. Trainings are kept in --out and shared by all experiments: what is
finished is skipped when started again. The table is written as Markdown, CSV and JSON, figures as SVG.""",
)


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME…", help="Experiments, or .yaml files of some.", show_default=False),
    ] = None,
    scale: Annotated[str, typer.Option(help="paper, cpu or smoke.")] = "cpu",
    seeds: Annotated[
        int | None, typer.Option(help="Number of seeds: 0 to N-1; as the experiment says if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of trainings and tables.")] = Path("reproduce"),
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the data, or of folders named cifar100 and so on.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trainings side by side; by GPUs or cores if not given.")
    ] = None,
    cells: Annotated[str | None, typer.Option(help="Names of trainings: a,b,c; all if not given.")] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of all trainings.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show the table so far, train nothing.")] = False,
) -> None:
    """Run a table or figure of the paper again, beside the published figures."""
    from ssal.experiments.outcome import show as show_outcome
    from ssal.experiments.runner import describe_experiments, plan_reproduction
    from ssal.experiments.runner import reproduce as run

    if not names:
        say(describe_experiments())
        return
    chosen = [cell.strip() for cell in (cells or "").split(",") if cell.strip()]
    plans = [
        plan_reproduction(
            name,
            scale=scale,
            seeds=seeds,
            out=out,
            data_dir=data_dir,
            assignments=assign or [],
            cells=chosen,
        )
        for name in names
    ]
    failed: dict[str, str] = {}
    if not show:
        try:
            failed = run(plans, workers=workers, say=say)
        except KeyboardInterrupt:
            complain("ssal: interrupted; finished trainings are kept, and the same command goes on")
            raise typer.Exit(130) from None
    for plan in plans:
        say(show_outcome(plan))
    if failed:
        complain(f"ssal: {len(failed)} trainings failed; the same command tries them again")
        raise typer.Exit(1)
