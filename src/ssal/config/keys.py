"""Settings in sections, and the same on one level, by dotted key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level.

    >>> dotted({"lr": 0.1, "optimizer": {"momentum": 0.9}})
    {'lr': 0.1, 'optimizer.momentum': 0.9}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= dotted(cast("Mapping[str, Any]", value), f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def nested(key: str, value: Any) -> dict[str, Any]:
    """A setting under its dotted key, in its sections.

    >>> nested("optimizer.momentum", 0.9)
    {'optimizer': {'momentum': 0.9}}
    """
    for part in reversed(key.split(".")):
        value = {part: value}
    return value
