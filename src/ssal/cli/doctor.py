"""`ssal doctor`."""

from __future__ import annotations

import typer

from ssal.cli.output import say
from ssal.cli.texts import help_text

HELP = help_text(
    "Check this machine: versions, processor, precision, memory, optional packages.",
    "ssal doctor",
    more="""Each line says ok, note or fault; the exit status is 1 if there is a fault.""",
)


def doctor() -> None:
    """Check this machine: versions, processor, precision, memory, optional packages."""
    from ssal.run.health import examine

    findings = examine()
    for finding in findings:
        say(f"{finding.level:5}  {finding.text}")
    if any(finding.level == "fault" for finding in findings):
        raise typer.Exit(1)
