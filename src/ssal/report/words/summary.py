"""The sentences of a run, sorted by what they say."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Summary:
    """The sentences at the top.

    Attributes:
        headline: the result in one sentence.
        trained: what was trained, on what.
        brings: what the branches bring.
        lacks: where they do not help, and what they cost.
    """

    headline: str
    trained: str
    brings: list[str] = field(default_factory=list[str])
    lacks: list[str] = field(default_factory=list[str])
