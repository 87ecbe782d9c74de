"""Settings of a training, and what is wrong with those that somebody gave."""

from ssal.config.keys import dotted, nested
from ssal.config.settings import (
    Settings,
    make_settings,
    merge_into,
    parse_assignments,
    read_yaml,
    to_yaml,
)

__all__ = [
    "Settings",
    "dotted",
    "make_settings",
    "merge_into",
    "nested",
    "parse_assignments",
    "read_yaml",
    "to_yaml",
]
