"""YAML of strangers: plain values only, and no text that takes a parser minutes."""

from __future__ import annotations

from typing import Any

import yaml

# PyYAML takes a second for about 20,000 events, and minutes for deep nesting.
_MOST_EVENTS = 10_000
_DEEPEST = 16


def load_yaml(text: str) -> Any:
    """Build plain values from YAML.

    Raises:
        ValueError: it is no YAML, has tags or aliases, or is far too large or deep for settings.
    """
    depth = 0
    try:
        for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("aliases are not allowed")
            if getattr(event, "tag", None) is not None:
                raise ValueError("tags are not allowed")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if number > _MOST_EVENTS or depth > _DEEPEST:
                raise ValueError(f"more than {_MOST_EVENTS:,} entries, or nested deeper than {_DEEPEST}")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None
