"""Lightning loggers by name, for people who follow trainings elsewhere than in a file."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from ssal.errors import InputError

_PACKAGES = {"tensorboard": ("tensorboard", "tb"), "wandb": ("wandb", "wandb")}


def check_loggers(names: Sequence[str]) -> None:
    """Check that the packages behind `names` are installed.

    Raises:
        InputError: one is not; the message says how to install it.
    """
    for name in names:
        package, extra = _PACKAGES.get(name, ("", ""))
        if package and importlib.util.find_spec(package) is None:
            raise InputError(f"--logger {name} needs the package {package}: pip install 'ssal[{extra}]'")


def make_loggers(names: Sequence[str], folder: Path, stage: str) -> list[Logger]:
    """Loggers that get one line an epoch; `csv` is none of them, since each run writes its own.

    Args:
        names: some of `csv`, `tensorboard`, `wandb`.
        folder: the run directory.
        stage: name of the training within the run.

    Raises:
        InputError: a package is not installed.
    """
    check_loggers(names)
    loggers: list[Logger] = []
    if "tensorboard" in names:
        loggers.append(TensorBoardLogger(save_dir=folder, name="tensorboard", version=stage))
    if "wandb" in names:
        loggers.append(WandbLogger(name=f"{folder.name}-{stage}", save_dir=folder))
    return loggers
