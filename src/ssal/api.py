"""Training with a report at its end, and reports of runs: what the command line and `import ssal` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ssal import run as runs
from ssal.backbones import backbone_maker
from ssal.config import read_yaml
from ssal.errors import InputError
from ssal.report import write_comparison
from ssal.report import write_report as write_report_of_one
from ssal.run import Run

_SUFFIXES = (".html", ".htm")


def write_report(
    path: str | Path,
    *others: str | Path,
    out: str | Path | None = None,
    backbone: Callable[..., nn.Module] | None = None,
) -> Path:
    """Write the report of a finished run, or one that compares several: a single HTML file.

    Args:
        path: a run directory.
        *others: more run directories; the first one is what they are held against.
        out: the file, ending in .html; `report.html` in the run, or `compare.html` here, if None.
        backbone: function from `num_classes` to the backbone, for models whose backbone is no named network.

    Returns:
        The file.

    Raises:
        RunError: there is no run, it is not finished, or its results cannot be read.
        InputError: `out` is no .html file, a run is given twice, or there are too many.
        OSError: the file cannot be written; it is then as it was.
    """
    target = None if out is None else Path(out)
    if target is not None and target.suffix.lower() not in _SUFFIXES:
        raise InputError(f"a report must end in {' or '.join(_SUFFIXES)}, not {target.name!r}")
    if others:
        paths = [Path(path), *(Path(other) for other in others)]
        return write_comparison(paths, target or Path("compare.html"))
    return write_report_of_one(Path(path), target, backbone=backbone)


def add_report(run: Run, echo: Callable[[str], None]) -> None:
    """Write the report of a run that was just trained, if it has none, and say where it is.

    A report that fails costs nothing but itself: the run is finished, and stays so.

    Args:
        run: the run.
        echo: called with the line to say.
    """
    if (run.path / "report.html").exists():
        return
    try:
        name = str(read_yaml(run.path / "config.yaml").get("model", ""))
        # Whoever trained this model just now has chosen that its code is run.
        backbone = backbone_maker(name) if ":" in name else None
        echo(f"report: {write_report_of_one(run.path, backbone=backbone)}")
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        echo(f"the run is finished, but its report failed: {reason}; try again: ssal report {run.path}")


def train(
    data: str | Path,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    echo: Callable[[str], None] = print,
    progress: bool = False,
    **settings: Any,
) -> Run:
    """Train a classifier with branches, measure what the branches bring, and write the report.

    A baseline is trained as a control, unless `baseline=False`. Then the network is trained with its
    branches, which wait for what it confuses itself; with `groups_from="baseline"` the groups are of classes
    that the baseline confuses. The test data are looked at once, at the end.

    Args:
        data: name of a data set, folder or Parquet file.
        out: run directory; `runs/DATA-1`, `-2` … if None.
        overwrite: replace the run that is there.
        echo: called with each line that a person may want to read.
        progress: show a bar.
        **settings: any setting of `ssal train`, such as `model="resnet18_cifar"`, `groups=(20, 33, 50)`,
            `epochs=10` or `optimizer={"momentum": 0.8}`.

    Raises:
        InputError: settings are not allowed; all faults are named at once.
        DataError: the data cannot be used.
        RunError: there is a run in `out` already, or another process works there.
        KeyboardInterrupt, SystemExit: a signal asked to stop; the message says how to go on.
    """
    run = runs.train(data, out=out, overwrite=overwrite, echo=echo, progress=progress, **settings)
    add_report(run, echo)
    return run
