"""What the parts of an experiment's file have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from ssal.errors import unknown_name


class Section(BaseModel):
    """A part of an experiment's file; keys that it does not know are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def listed(value: object) -> object:
    """Let one text or number stand for a list of one."""
    return [value] if isinstance(value, str | int | float) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(listed)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(listed)]


def check_known(kind: str, given: Iterable[str | None], allowed: Iterable[str]) -> None:
    """Check that names are known; None stands for no name.

    Raises:
        ValueError: one is not; the nearest are shown.
    """
    names = list(allowed)
    for name in given:
        if name is not None and name not in names:
            raise ValueError(str(unknown_name(kind, name, names)))
