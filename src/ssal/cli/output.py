"""What the command line prints: plain lines that cannot steer the terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from ssal.text import visible


def _print(text: str, stream: TextIO) -> None:
    # A terminal of another alphabet gets codes for what it lacks, where Python would raise.
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(visible(text).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def say(text: str) -> None:
    """Print to standard output."""
    _print(text, sys.stdout)


def complain(text: str) -> None:
    """Print to standard error."""
    _print(text, sys.stderr)
