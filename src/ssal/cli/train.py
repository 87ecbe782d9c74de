"""`ssal train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ssal.cli.output import say
from ssal.cli.texts import help_text
from ssal.interrupts import Interrupts

HELP = help_text(
    "Train a classifier with branches, and measure what the branches bring.",
    "ssal train glyphs",
    "ssal train cifar100 --data-dir data/cifar100 --width 16 --epochs 10",
    "ssal train photos/ --groups 5,10,all --taps layer2,layer3,layer4",
    "ssal train glyphs --set optimizer.momentum=0.8 --print-config",
    "ssal train --resume runs/glyphs-1",
    more="""DATA is glyphs, digits, cifar100, tiny-imagenet, imagenet, a folder with train/ and val/ or test/,
one folder of class folders (which is split), a Parquet file or folder, or hf:NAME.

The backbone is trained alone, as a control (--no-baseline leaves that out), and then with its branches,
which wait for the classes that it confuses to be grouped. With --groups-from baseline the groups are of
what the baseline confuses. The test data are looked at once, at the end.""",
)


def train(
    data: Annotated[str | None, typer.Argument(help="What to train on.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; runs/DATA-1, -2 … if not given.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with an interrupted run; needs nothing else.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Two batches only: shapes, memory, estimated time.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file (YAML); flags win over it.")] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting; wins over flags.")
    ] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Show the settings and stop.")] = False,
    model: Annotated[str | None, typer.Option(help="timm name, or package.module:callable.")] = None,
    width: Annotated[int | None, typer.Option(help="Channels of the first stage.")] = None,
    groups: Annotated[str | None, typer.Option(help="Such as 20,33,50 or 20+all,fused or a file.")] = None,
    taps: Annotated[str | None, typer.Option(help="auto, or layer names: a,b,c.")] = None,
    criterion: Annotated[str | None, typer.Option(help="join or split look-alike classes.")] = None,
    method: Annotated[str | None, typer.Option(help="refined, paper or random grouping.")] = None,
    confusion: Annotated[str | None, typer.Option(help="soft or hard.")] = None,
    groups_from: Annotated[
        str | None, typer.Option(help="training, which finds its groups itself, or baseline.")
    ] = None,
    baseline: Annotated[
        bool | None,
        typer.Option("--baseline/--no-baseline", help="Train the backbone alone too, or not."),
    ] = None,
    layout: Annotated[str | None, typer.Option(help="light, or such as 'cbr 128,5,2 | gap'.")] = None,
    epochs: Annotated[int | None, typer.Option()] = None,
    baseline_epochs: Annotated[
        str | None,
        typer.Option(metavar="N|same-time", help="Epochs of the baseline; as --epochs if not given."),
    ] = None,
    time_budget: Annotated[float | None, typer.Option(help="Minutes; sets the epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    label_smoothing: Annotated[float | None, typer.Option()] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights.")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    holdout: Annotated[float | None, typer.Option(help="Share of the training data held out.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, bf16 or 32.")] = None,
    devices: Annotated[int | None, typer.Option(help="Processes, one a device.")] = None,
    compile: Annotated[bool | None, typer.Option("--compile", help="Compile the network first.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read files.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the files of named data are.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the images in pixels.")] = None,
    skip_bad: Annotated[bool | None, typer.Option("--skip-bad", help="Leave unreadable images out.")] = None,
    pretrained: Annotated[
        bool | None, typer.Option("--pretrained", help="Start from timm's weights.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Start from a file of weights, or a run.")] = None,
    logger: Annotated[str | None, typer.Option(help="csv, tensorboard, wandb.")] = None,
) -> None:
    """Train a classifier with branches, and measure what the branches bring."""
    flags: dict[str, Any] = {
        "data": data,
        "model": model,
        "width": width,
        "groups": groups,
        "taps": taps,
        "criterion": criterion,
        "method": method,
        "confusion": confusion,
        "groups_from": groups_from,
        "baseline": baseline,
        "layout": layout,
        "epochs": epochs,
        "baseline_epochs": baseline_epochs,
        "time_budget": time_budget,
        "batch_size": batch_size,
        "lr": lr,
        "label_smoothing": label_smoothing,
        "ema": ema,
        "seed": seed,
        "holdout": holdout,
        "precision": precision,
        "devices": devices,
        "compile": compile,
        "workers": workers,
        "data_dir": data_dir,
        "image_size": image_size,
        "skip_bad": skip_bad,
        "pretrained": pretrained,
        "weights": weights,
        "logger": logger,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    with Interrupts():
        from ssal.config import make_settings, parse_assignments, read_yaml, to_yaml
        from ssal.directory import RunDirectory
        from ssal.errors import InputError

        assignments = parse_assignments(assign or [])
        if resume is not None:
            flagged = {"--overwrite": overwrite, "--dry-run": dry_run, "--print-config": print_config}
            flagged["--out"] = out is not None and out.resolve() != resume.resolve()
            if wrong := [flag for flag, is_given in flagged.items() if is_given]:
                raise InputError(
                    f"--resume goes on with the run in {resume}; not allowed beside it: {', '.join(wrong)}"
                )
            layers = [layer for layer in (read_yaml(config) if config else {}, given, assignments) if layer]
            if not RunDirectory(resume).metrics.exists():
                # A refusal comes before the libraries, which take seconds to load; a finished run is shown.
                RunDirectory(resume).check_unlocked()
            from ssal.api import add_report
            from ssal.run import resume_training

            run = resume_training(resume, changes=layers, echo=say, progress=sys.stderr.isatty())
            add_report(run, say)
            return
        if data is None and config is None and "data" not in assignments:
            raise InputError("name the data to train on, such as: ssal train glyphs")
        settings = make_settings({} if config is None else read_yaml(config), given, assignments)
        if print_config:
            say(to_yaml(settings).rstrip())
            return
        if dry_run:
            from ssal.run import describe_plan

            say(describe_plan(settings))
            return
        if out is not None:
            # A refusal comes before the libraries, which take seconds to load.
            RunDirectory(out).check_vacant(overwrite=overwrite)
            RunDirectory(out).check_unlocked()
        from ssal.api import add_report
        from ssal.run import start_training

        run = start_training(settings, out, overwrite=overwrite, echo=say, progress=sys.stderr.isatty())
        add_report(run, say)
