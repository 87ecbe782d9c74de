"""The application: its verbs, and how errors reach a person."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated, Any

import typer

from ssal.cli import (
    demo,
    doctor,
    evaluate,
    explain,
    export,
    groups,
    layers,
    predict,
    report,
    reproduce,
    train,
)
from ssal.cli.output import complain
from ssal.cli.texts import help_text
from ssal.errors import SsalError
from ssal.interrupts import Interrupted

_INTRODUCTION = help_text(
    "Image classifiers that show their evidence.",
    "ssal train glyphs                      a first run, a few minutes",
    "ssal train photos/ --epochs 30 --out runs/photos",
    "ssal predict runs/photos new/*.jpg     classes, with the groups each branch saw",
    "ssal explain runs/photos new/one.jpg   what decided, and where in the image",
    "ssal demo runs/photos                  the same on a page, for any image you drop",
    "ssal groups show runs/photos           which classes look alike",
    "ssal report runs/photos                one page with all of it",
    "ssal layers resnet50                   where a branch can be attached",
    more="ssal VERB --help has more examples.",
)

app = typer.Typer(
    name="ssal",
    help=_INTRODUCTION,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"ssal {version('ssal')}")
        raise typer.Exit


@app.callback()
def _options(  # pyright: ignore[reportUnusedFunction]
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    pass


app.command("train", help=train.HELP)(train.train)
app.command("eval", help=evaluate.HELP)(evaluate.evaluate)
app.command("predict", help=predict.HELP)(predict.predict)
app.command("explain", help=explain.HELP)(explain.explain)
app.add_typer(groups.app, name="groups")
app.command("layers", help=layers.HELP)(layers.layers)
app.command("report", help=report.HELP)(report.report)
app.command("export", help=export.HELP)(export.export)
app.command("reproduce", help=reproduce.HELP)(reproduce.reproduce)
app.command("demo", help=demo.HELP)(demo.demo)
app.command("doctor", help=doctor.HELP)(doctor.doctor)


# Nothing, or an option with nothing as its value.
_EMPTY = re.compile(r"(--[a-z-]+=)?")
# It comes with typer, from a place that depends on the version.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def _usage(error: Any) -> str:
    """A wrong command line in one line; the help of a command that was given nothing, as it is."""
    message: str = error.format_message()
    if "\n" in message:
        return message
    if faults := getattr(error.__cause__, "errors", None):
        # Typer repeats what was asked for, not what was given.
        message = f"{message.rstrip('.')} (given: {faults()[0]['input']!r})"
    place = error.ctx.command_path if error.ctx else "ssal"
    return f"ssal: {message[:1].lower()}{message[1:].rstrip('.')}; see {place} --help"


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad input, 130 interrupted, 143 terminated."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if empty := [argument for argument in arguments if _EMPTY.fullmatch(argument)]:
        # As a path, it would mean the folder that one is in.
        complain(f"ssal: {empty[0] or 'an argument'} is empty, as of a variable that is not set")
        sys.exit(2)
    try:
        # Typer's own way to end takes four lines to say what was wrong.
        sys.exit(app(arguments, prog_name="ssal", standalone_mode=False))
    except SsalError as error:
        if debug:
            raise
        complain(f"ssal: {error}")
        sys.exit(2)
    except _UsageError as error:
        if debug:
            raise
        complain(_usage(error))
        sys.exit(2)
    except typer.Abort:
        complain("ssal: aborted")
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output went away, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        complain(f"ssal: {error}")
        sys.exit(1)
    except Interrupted as stop:
        complain(f"ssal: {stop}")
        sys.exit(stop.status)
    except KeyboardInterrupt:
        complain("ssal: interrupted")
        sys.exit(130)
