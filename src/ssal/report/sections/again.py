"""What it takes to run it again: the command, the settings, the versions and the machine."""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from ssal.config import dotted, make_settings
from ssal.errors import SsalError
from ssal.report.names import clipped
from ssal.report.reading import Record
from ssal.report.section import Section
from ssal.text import visible


def shown(value: Any) -> str:
    """A setting as a person writes it.

    >>> shown([20, 33]), shown(None), shown(True)
    ('20, 33', 'not set', 'yes')
    """
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(shown(entry) for entry in value)
    return clipped(value, 120)


def chosen(settings: dict[str, Any]) -> dict[str, str]:
    """The settings that are not those which `ssal train DATA` would take."""
    try:
        defaults = dotted(make_settings({"data": settings.get("data", "")}).model_dump(mode="json"))
    except SsalError:
        defaults = {}
    return {
        key: shown(value)
        for key, value in dotted(settings).items()
        if key not in defaults or defaults[key] != value
    }


def original_command(command: list[str]) -> str | None:
    """The command line that trained the run, if the command line did."""
    if len(command) < 2 or command[1] != "train":
        return None
    return visible(shlex.join(["ssal", *command[1:]]), keep="")


def again(record: Record) -> Section:
    """The section for running it again."""
    environment = record.environment
    machine = {
        "machine": environment.machine,
        "processor": environment.processor,
        "system": environment.system,
        "processors": environment.cpus,
        "threads": environment.threads,
        "GPUs": ", ".join(environment.gpus) or "none",
        "precision": environment.precision,
        "started": environment.started,
    }
    return Section(
        "again",
        "Run it again",
        "Run again",
        {
            "command": original_command(environment.command),
            "from_settings": visible(
                f"ssal train --config {shlex.quote(str(record.directory.config))}", keep=""
            ),
            "chosen": chosen(record.settings),
            "yaml": visible(yaml.safe_dump(record.settings, sort_keys=False, allow_unicode=True)),
            "versions": {"python": environment.python or "–", **environment.versions},
            "machine": {key: clipped(value, 80) for key, value in machine.items() if value is not None},
        },
    )
