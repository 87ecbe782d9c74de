"""Choose experiments, and do their trainings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ssal.config import parse_assignments
from ssal.data import open_data
from ssal.errors import InputError, unknown_name
from ssal.experiments.plan import Cell, Reproduction, plan_cells
from ssal.experiments.pool import run_cells, worker_count
from ssal.experiments.reading import check_scale, list_experiments, load_experiment
from ssal.experiments.store import Store
from ssal.text import visible

Say = Callable[[str], None]


def describe_experiments() -> str:
    """A line for each experiment that comes with the package."""
    names = list_experiments()
    width = max(len(name) for name in names)
    return "\n".join(f"{name:{width}}  {load_experiment(name).title}" for name in names)


def plan_reproduction(
    name: str,
    *,
    scale: str = "cpu",
    seeds: int | None = None,
    out: Path = Path("reproduce"),
    data_dir: Path | None = None,
    assignments: Sequence[str] = (),
    cells: Sequence[str] = (),
) -> Reproduction:
    """Check everything that can be checked without data.

    Args:
        name: an experiment that comes with the package, or a .yaml file.
        scale: `paper`, `cpu` or `smoke`.
        seeds: number of seeds of all trainings, 0 … seeds - 1; as the experiment says if None.
        out: folder of results; experiments share trainings there.
        data_dir: folder of the data, or of folders named after data sets.
        assignments: settings as `key=value`, laid over all others.
        cells: names of trainings, to do some only.

    Raises:
        InputError: experiment, scale, training or setting is unknown, or the experiment's file has faults.
    """
    experiment = load_experiment(name)
    chosen = check_scale(experiment, scale)
    for cell in cells:
        if cell not in experiment.trainings:
            raise unknown_name("training", cell, list(experiment.trainings))
    count = experiment.scales[chosen].seeds if seeds is None else seeds
    if count < 1:
        raise InputError(f"{count} seeds asked for; at least 1 is needed")
    planned = plan_cells(
        experiment,
        chosen,
        range(count),
        assignments=parse_assignments(assignments),
        data_dir=data_dir,
        names=cells or None,
    )
    if seeds is None:
        planned = tuple(cell for cell in planned if cell.seed < experiment.seeds(cell.name, chosen))
    return Reproduction(name, experiment, chosen, planned, Store(out))


def check_data(cells: Sequence[Cell]) -> None:
    """Open each data set once, so that missing data stop everything before any training starts.

    Raises:
        InputError, DataError: data are missing or cannot be used; the message says what to do.
    """
    asked = {
        (cell.training.settings.data, cell.training.settings.data_dir, cell.training.settings.image_size)
        for cell in cells
    }
    for data, data_dir, image_size in asked:
        open_data(data, data_dir=data_dir, image_size=image_size)


def reproduce(
    plans: Sequence[Reproduction], *, workers: int | None = None, say: Say = print
) -> dict[str, str]:
    """Do the trainings of some experiments that are not finished yet.

    Args:
        plans: what to do; all have the same folder of results.
        workers: trainings side by side; one for each GPU, else for each core, if None.
        say: called with each line about the progress.

    Returns:
        The errors of trainings that failed, by digest.

    Raises:
        InputError, DataError: the data are missing or cannot be used.
    """
    cells = [cell for plan in plans for cell in plan.cells]
    todo = [cell for cell in cells if not plans[0].store.is_done(cell.training)]
    distinct = len({cell.digest for cell in todo})
    if not todo:
        return {}
    check_data(todo)
    count = min(worker_count(workers), distinct)
    kept = len({cell.digest for cell in cells}) - distinct
    say(f"{distinct} trainings to do, {kept} kept from before; {count} side by side")
    started, ended = time.monotonic(), 0

    def report(cell: Cell, line: str) -> None:
        nonlocal ended
        ended += line == "done" or line.startswith("failed:")
        minutes = (time.monotonic() - started) / 60
        left = f", about {minutes / ended * (distinct - ended):.0f} left" if ended else ""
        place = f"[{ended}/{distinct}, {minutes:.0f} min{left}]"
        say(f"{place} {cell.name} seed {cell.seed}: {visible(line, keep='')}")

    return run_cells(todo, plans[0].store, count, report)
