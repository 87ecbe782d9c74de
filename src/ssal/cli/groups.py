"""`ssal groups`: derive, show and compare groups of classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssal.cli.output import say
from ssal.cli.texts import help_text
from ssal.text import visible

if TYPE_CHECKING:
    from ssal.grouping import Grouping

HELP = help_text(
    "Derive, show and compare groups of look-alike classes.",
    "ssal groups show runs/glyphs-1",
    "ssal groups derive runs/glyphs-1 --num-groups 20 --out groups.json",
    "ssal groups compare runs/glyphs-1/groups/layer1-2.json groups.json --confusion runs/glyphs-1",
)

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)


def _confusion_file(path: Path) -> Path:
    return path / "confusion.npz" if path.is_dir() else path


def _read(path: Path) -> dict[str, Grouping]:
    """The groupings of a run by tap, or the one of a file."""
    from ssal.errors import RunError
    from ssal.grouping import Grouping

    if not path.is_dir():
        return {path.stem: Grouping.load(path)}
    files = sorted((path / "groups").glob("*.json"))
    if not files:
        raise RunError(f"no groups in {path}; groups/*.json are written once the groups are found")
    return {file.stem: Grouping.load(file) for file in files}


def _lines(grouping: Grouping) -> list[str]:
    names = grouping.class_names or [str(index) for index in range(len(grouping.labels))]
    return [
        f"{group:4}  " + ", ".join(visible(names[member], keep="") for member in grouping.members(group))
        for group in range(grouping.num_groups)
    ]


@app.command()
def derive(
    source: Annotated[Path, typer.Argument(help="Run directory or confusion file (.npz, .npy, .csv).")],
    num_groups: Annotated[int, typer.Option("--num-groups", "-k", help="Number of groups.")],
    criterion: Annotated[str, typer.Option(help="join or split look-alike classes.")] = "join",
    method: Annotated[str, typer.Option(help="refined, paper or random.")] = "refined",
    seed: Annotated[int, typer.Option()] = 0,
    out: Annotated[Path | None, typer.Option(help="File for the groups, .json.")] = None,
) -> None:
    """Form balanced groups from a confusion matrix."""
    from ssal.confusion import load_confusion
    from ssal.grouping import group_classes

    confusion, names = load_confusion(_confusion_file(source))
    grouping = group_classes(
        confusion, num_groups, criterion=criterion, method=method, seed=seed, class_names=names
    )
    share = 100 * grouping.share(confusion)
    say("\n".join([f"{num_groups} groups hold {share:.1f} % of the confusion", *_lines(grouping)]))
    if out is not None:
        grouping.save(out)
        say(f"saved: {out}")


@app.command()
def show(
    source: Annotated[Path, typer.Argument(help="Run directory, or file of one grouping.")],
) -> None:
    """Show groups with their classes."""
    from ssal.confusion import load_confusion

    confusion = None
    if (source / "confusion.npz").exists():
        confusion = load_confusion(source / "confusion.npz")[0]
    for name, grouping in _read(source).items():
        if grouping.is_identity:
            say(f"{name}: the {grouping.num_groups} classes themselves")
            continue
        share = (
            "" if confusion is None else f", {100 * grouping.share(confusion):.1f} % of the confusion inside"
        )
        smallest, largest = min(grouping.sizes), max(grouping.sizes)
        sizes = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
        head = f"{name}: {grouping.num_groups} groups of {sizes} classes{share}"
        say("\n".join([head, *_lines(grouping)]))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="File of a grouping.")],
    second: Annotated[Path, typer.Argument(help="File of another grouping.")],
    confusion: Annotated[
        Path | None, typer.Option(help="Run directory or confusion file, to measure shares on.")
    ] = None,
) -> None:
    """Compare two groupings: how far they agree, and which holds more of the confusion."""
    from ssal.confusion import load_confusion
    from ssal.grouping import Grouping, agreement

    groupings = [Grouping.load(first), Grouping.load(second)]
    score = agreement(*groupings)
    matrix = None if confusion is None else load_confusion(_confusion_file(confusion))[0]
    for path, grouping in zip((first, second), groupings, strict=True):
        share = (
            "" if matrix is None else f", share of the confusion inside {100 * grouping.share(matrix):.1f} %"
        )
        say(f"{path}: {grouping.num_groups} groups{share}")
    say(f"agreement (adjusted Rand index; 1 for equal, 0 for chance): {score:.3f}")
