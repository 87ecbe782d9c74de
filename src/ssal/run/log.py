"""What a run says while it works, and the row that each epoch leaves."""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ssal.errors import RunError
from ssal.files import append_text, write_text
from ssal.text import visible
from ssal.training import EpochRow

_COLUMNS = (
    "stage",
    "epoch",
    "epochs",
    "lr",
    "train_loss",
    "val_loss",
    "val_top1",
    "val_top1_joint",
    "seconds",
    "images_per_second",
)


@dataclass(frozen=True)
class Log:
    """Says lines to a person and keeps them in `train.log`."""

    path: Path
    echo: Callable[[str], None]

    def __call__(self, text: str) -> None:
        """Say `text` and keep it."""
        self.note(text)
        self.echo(text)

    def note(self, text: str) -> None:
        """Only keep `text`, with the time."""
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        append_text(self.path, "".join(f"{now} {line}\n" for line in visible(text).splitlines()))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def memory_in_use() -> int | None:
    """Bytes of memory that this process holds at present; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def epoch_line(row: EpochRow, last_state: Path | None = None) -> str:
    """One line with what a person wants to know in the middle of the night.

    Args:
        row: what the epoch brought.
        last_state: the checkpoint whose age is of interest.
    """
    joint = f", joint {row.val_top1_joint:.2f} %" if row.val_top1_branches else ""
    left = (row.epochs - row.epoch) * row.seconds
    memory = memory_in_use()
    parts = [
        f"loss {row.train_loss:.4f}",
        f"held-out {row.val_top1:.2f} %{joint}, loss {row.val_loss:.4f}",
        f"lr {row.lr:.4g}",
        f"{row.images_per_second:.0f} images/s",
        *([] if memory is None else [f"{memory / 1e9:.2f} GB"]),
        *([] if last_state is None else [_age(last_state)]),
        f"{_duration(left)} left",
    ]
    return f"{row.stage} {row.epoch}/{row.epochs}: {', '.join(parts)}"


def _age(state: Path) -> str:
    try:
        seconds = time.time() - state.stat().st_mtime
    except FileNotFoundError:
        return "no state yet"
    return f"last state {_duration(max(0.0, seconds))} ago"


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of `metrics.csv`; none if there is no file yet.

    Raises:
        RunError: the file cannot be read, or a row lacks a value.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"cannot read {path}: {error}") from None
    for number, row in enumerate(rows, start=1):
        if not _is_row(row):
            raise RunError(f"{path} is damaged: row {number} lacks its stage, epoch or seconds")
    return rows


def _is_row(row: dict[str, str]) -> bool:
    # Surplus values stand under None, missing ones are None.
    whole = None not in cast("dict[object, object]", row) and None not in cast(
        "Iterable[object]", row.values()
    )
    if not whole or not {"stage", "epoch", "seconds"} <= row.keys() or not row["epoch"].isdecimal():
        return False
    try:
        return math.isfinite(float(row["seconds"]))
    except ValueError:
        return False


def add_row(path: Path, row: EpochRow) -> None:
    """Add the row of an epoch; rows of the same stage from that epoch on, left by a broken run, give way."""
    kept = [old for old in read_rows(path) if old["stage"] != row.stage or int(old["epoch"]) < row.epoch]
    new: dict[str, Any] = {name: getattr(row, name) for name in _COLUMNS}
    new |= {f"val_top1_branch{number + 1}": value for number, value in enumerate(row.val_top1_branches)}
    names = list(dict.fromkeys(name for line in (*kept, new) for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*kept, new])
    write_text(path, text.getvalue())


def stage_seconds(path: Path, stage: str) -> float:
    """Training seconds of a stage over all its epochs, interruptions left out."""
    return sum(float(row["seconds"]) for row in read_rows(path) if row["stage"] == stage)
