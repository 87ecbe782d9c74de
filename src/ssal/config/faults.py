"""What is wrong with settings, in words for who gave them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from ssal.errors import nearest

# How much of a value is repeated in an error.
_SHOWN = 120
# How pydantic says which words are allowed, and what a kind of value is.
_CHOICE = re.compile(r"'([^']*)'")
_ASKED = "input should be "


def _known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _known_keys(field.annotation, f"{prefix}{name}.")
    return keys


def describe_faults(error: ValidationError, model: type[BaseModel]) -> str:
    """All faults of settings in one line, with the nearest key of `model` for those that do not exist."""
    faults: dict[str, str] = {}
    kinds: dict[str, dict[str, str]] = {}
    hints: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        if fault["type"] == "default_factory_not_called":
            # It waits for another setting, whose fault is named.
            continue
        # Steps into unions and lists are pydantic's own; a user knows the key only.
        path = [str(step) for step in fault["loc"] if isinstance(step, str)]
        known = _known_keys(model)
        while len(path) > 1 and ".".join(path) not in known and fault["type"] != "extra_forbidden":
            path.pop()
        key = ".".join(path)
        if fault["type"] == "extra_forbidden":
            near = nearest(key, known, limit=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            faults[key] = f"unknown setting {key!r}{hint}"
        elif fault["type"] == "missing":
            faults[key] = f"{key} is missing"
        else:
            message = fault["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
            given = repr(fault["input"])
            given = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…"
            if fault["type"] == "literal_error":
                near = nearest(str(fault["input"]), _CHOICE.findall(message), limit=1)
                hints[key] = f"; did you mean {near[0]!r}?" if near else ""
            kinds.setdefault(key, {}).setdefault(f"{message[:1].lower()}{message[1:]}", given)
    faults |= {key: f"{key}: {_one_of(each)}{hints.get(key, '')}" for key, each in kinds.items()}
    return "; ".join(faults.values())


def _one_of(kinds: Mapping[str, str]) -> str:
    """What a value of several kinds may be, and what it is: `kinds` has what is given, by what is asked."""
    asked = [kind for kind in kinds if kind.startswith(_ASKED)]
    if len(asked) < len(kinds):
        asked = [min(kinds, key=len)]
    # Of several, what a parser said of its attempt would be in the way.
    short = asked if len(asked) == 1 else [kind.partition(", ")[0] for kind in asked]
    allowed = " or ".join([short[0], *(kind.removeprefix(_ASKED) for kind in short[1:])])
    return f"{allowed} (given: {min((kinds[kind] for kind in asked), key=len)})"
