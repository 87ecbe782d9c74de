"""What a run says while it works, and the row that each epoch leaves."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssal.files import write_text
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
        """Say `text`; the file gets the time as well."""
        with self.path.open("a", encoding="utf-8") as file:
            for line in text.splitlines():
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        self.echo(text)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def epoch_line(row: EpochRow) -> str:
    """One line with what a person wants to know in the middle of the night."""
    joint = f", joint {row.val_top1_joint:.2f} %" if row.val_top1_branches else ""
    left = (row.epochs - row.epoch) * row.seconds
    return (
        f"{row.stage} {row.epoch}/{row.epochs}: loss {row.train_loss:.4f}, "
        f"held-out {row.val_top1:.2f} %{joint}, loss {row.val_loss:.4f}, "
        f"{row.images_per_second:.0f} images/s, {_duration(left)} left"
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of `metrics.csv`; none if there is no file yet."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


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
