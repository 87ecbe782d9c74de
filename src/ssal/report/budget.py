"""How much of the report pictures may take."""

from __future__ import annotations

import base64
from dataclasses import dataclass


@dataclass
class Budget:
    """Bytes that are left; what does not fit is not shown.

    >>> budget = Budget(10)
    >>> budget.take("a" * 8), budget.take("b" * 8), budget.take("cc")
    ('aaaaaaaa', None, 'cc')
    """

    left: int

    def take(self, text: str) -> str | None:
        """The text if there is room for it."""
        if len(text) > self.left:
            return None
        self.left -= len(text)
        return text


def data_uri(content: bytes, kind: str) -> str:
    """A picture as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
