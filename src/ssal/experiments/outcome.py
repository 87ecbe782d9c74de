"""What an experiment has brought so far, as files: Markdown, CSV, JSON, and SVG where it is a figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssal.data import open_data
from ssal.experiments.pictures import draw_examples, find_examples
from ssal.experiments.plan import Cell, Reproduction
from ssal.experiments.plots import draw_panels, panel_lines
from ssal.experiments.results import RowResult, measure_rows
from ssal.experiments.shown import Pictures
from ssal.experiments.table import as_csv, as_markdown, as_text, as_values, failures
from ssal.files import write_bytes, write_json, write_text
from ssal.run.prepare import interpolation_of

_KEPT = (
    "training", "data", "environment", "clock", "seconds", "yardstick", "yardstick_from", "epochs",
    "images_per_second", "whole", "main",
)  # fmt: skip


def show(plan: Reproduction) -> str:
    """Measure what is there, write it to files, and return the table for a terminal."""
    results = measure_rows(plan.experiment, plan.cells, plan.store)
    written = [
        _write(plan, "md", _page(plan, results)),
        _write(plan, "csv", as_csv(results)),
        _write_record(plan, results),
        *_write_plots(plan, results),
        *_write_pictures(plan),
    ]
    done = len({cell.digest for cell in plan.cells if plan.store.is_done(cell.training)})
    total = len({cell.digest for cell in plan.cells})
    head = f"{plan.experiment.source}, scale {plan.scale}: {done} of {total} trainings done"
    table = [as_text(results, plan.experiment.measures)] if results else []
    return "\n".join([head, *table, *failures(results), f"written: {', '.join(map(str, written))}"])


def _path(plan: Reproduction, suffix: str) -> Path:
    return plan.store.root / f"{plan.stem}.{suffix}"


def _write(plan: Reproduction, suffix: str, text: str) -> Path:
    write_text(_path(plan, suffix), text)
    return _path(plan, suffix)


def _page(plan: Reproduction, results: Sequence[RowResult]) -> str:
    experiment = plan.experiment
    differs = [*experiment.differs, *experiment.scales[plan.scale].notes]
    parts = [
        f"# {experiment.source}: {experiment.title} (scale `{plan.scale}`)",
        as_markdown(results, experiment.measures),
    ]
    for title, notes in (("As in the paper", experiment.same), ("Not as in the paper", differs)):
        if notes:
            parts.append(f"{title}:\n\n" + "\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _write_record(plan: Reproduction, results: Sequence[RowResult]) -> Path:
    """Rows with every number, and for each training what determined and what produced it."""
    record = {
        "experiment": plan.name,
        "title": plan.experiment.title,
        "source": plan.experiment.source,
        "scale": plan.scale,
        "rows": as_values(results),
        "trainings": [_entry(plan, cell) for cell in plan.cells],
    }
    write_json(_path(plan, "json"), record)
    return _path(plan, "json")


def _entry(plan: Reproduction, cell: Cell) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": cell.name, "seed": cell.seed, "digest": cell.digest}
    if plan.store.has_result(cell.digest):
        result = plan.store.read(cell.digest)
        # The bins of the reliability diagrams are many numbers, and stay with the training.
        brief = {key: value for key, value in result["metrics"].items() if key != "calibration"}
        return entry | {key: result[key] for key in _KEPT if key in result} | {"metrics": brief}
    return entry | {"training": cell.training.describe(), "error": plan.store.error(cell.digest)}


def _write_plots(plan: Reproduction, results: Sequence[RowResult]) -> list[Path]:
    lines = panel_lines(plan.experiment, results, plan.cells, plan.store)
    if not lines:
        return []
    title = f"{plan.experiment.source}, scale {plan.scale}"
    write_bytes(_path(plan, "svg"), draw_panels(plan.experiment.panels, lines, title))
    return [_path(plan, "svg")]


def _write_pictures(plan: Reproduction) -> list[Path]:
    """Draw the pictures of the first seed whose models are there; those that are drawn already are kept."""
    pictures = plan.experiment.pictures
    pair = None if pictures is None else _pair(plan, pictures)
    if pair is None:
        return []
    baseline, model = (cell.digest for cell in pair)
    paths = [_path(plan, suffix) for suffix in ("svg", "png", "pictures.json")]
    if all(path.exists() for path in paths) and _drawn(paths[-1]) == [baseline, model]:
        return paths
    settings = pair[1].training.settings
    data = open_data(
        settings.data,
        data_dir=settings.data_dir,
        image_size=settings.image_size,
        interpolation=interpolation_of(settings),
    )
    examples = find_examples(plan.store, baseline, model, data)
    svg, png = draw_examples(examples, f"{plan.experiment.source}, scale {plan.scale}")
    write_bytes(paths[0], svg)
    write_bytes(paths[1], png)
    write_json(
        paths[2], {"trainings": [baseline, model], "examples": [example.to_json() for example in examples]}
    )
    return paths


def _pair(plan: Reproduction, pictures: Pictures) -> tuple[Cell, Cell] | None:
    """The trainings of the network without and with branches, of the first seed that has both."""
    done = {(cell.seed, cell.name): cell for cell in plan.cells if plan.store.is_done(cell.training)}
    for seed in sorted({cell.seed for cell in plan.cells}):
        keys = [(seed, pictures.baseline), (seed, pictures.model)]
        if all(key in done for key in keys):
            return done[keys[0]], done[keys[1]]
    return None


def _drawn(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["trainings"]
    except (OSError, ValueError, KeyError):
        return None
