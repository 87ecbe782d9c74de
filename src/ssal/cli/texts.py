"""The shape of every help text: a sentence, examples, then the rest."""

from __future__ import annotations


def help_text(summary: str, *examples: str, more: str = "") -> str:
    """Compose a help text whose examples keep their lines.

    Args:
        summary: one sentence, shown in the list of verbs as well.
        *examples: command lines.
        more: paragraphs below.
    """
    # \b keeps click from filling the lines of the paragraph.
    lines = "\n".join(f"  {example}" for example in examples)
    return f"{summary}\n\n\b\nExamples:\n{lines}\n\n{more}"
