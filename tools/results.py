"""Write the tables of README.md and RESULTS.md anew from the JSON files in results/.

python tools/results.py            # after `ssal reproduce … --show --out results`
python tools/results.py --check    # exits with 1 if a table is not what the files say

A table stands between `<!-- table: FILE [LABEL; LABEL …] -->` and `<!-- end -->`: the rows of
results/FILE.json that have a seed, all of them, or those whose label is one of the labels or begins with it
and a colon. `differences` instead of `table` shows nothing of them but the difference to their reference.
`<!-- reading: FILE -->` begins a table of what `tools/reading.py` wrote, means over its seeds.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "RESULTS.md")
_TABLE = re.compile(
    r"(<!-- (table|differences|reading): (\S+)(?: \[(.*?)\])? -->\n).*?(<!-- end -->)", re.DOTALL
)
_HEAD = ("", "top-1 %", "seeds", "to reference", "NLL", "ECE %", "AUROC", "parameters", "MFLOPs", "time")

_NOTHING = "*Still to come.*"

Row = Mapping[str, Any]


def mean(row: Row, measure: str) -> float | None:
    """Mean of a measure over the seeds that have it."""
    values = [seed[measure] for seed in row["by_seed"].values() if measure in seed]
    return statistics.fmean(values) if values else None


def shown(value: float | None, form: str) -> str:
    """A number, or nothing where there is none."""
    return "" if value is None else format(value, form)


def difference(row: Row) -> str:
    """Mean of the paired differences to the reference, and its interval where there are several seeds."""
    if not compared(row):
        return ""
    found = row["difference"]
    signed = f"{found['mean']:+.2f}"
    if found["low"] is not None:
        signed += f" [{found['low']:+.2f}, {found['high']:+.2f}]"
    return signed.replace("-", "−")


def compared(row: Row) -> bool:
    """Whether there is a seed of the row and of its reference."""
    found = row.get("difference")
    return bool(found) and found["mean"] is not None


def line(row: Row) -> str:
    """One row of a table."""
    top1 = row["top1"]
    spread = "" if top1["deviation"] is None else f" ± {top1['deviation']:.2f}"
    parameters, flops = mean(row, "parameters"), mean(row, "flops")
    cells = (
        row["label"],
        f"{top1['mean']:.2f}{spread}",
        str(top1["count"]),
        difference(row),
        shown(mean(row, "nll"), ".3f"),
        shown(mean(row, "ece"), ".1f"),
        shown(mean(row, "auroc"), ".3f"),
        shown(None if parameters is None else parameters / 1e6, ".2f") + "M",
        shown(None if flops is None else flops / 1e6, ".1f"),
        shown(mean(row, "time"), ".2f"),
    )
    return f"| {' | '.join(cells)} |"


def rows_of(name: str, wanted: Sequence[str]) -> list[Row]:
    """The rows of an experiment that have a seed, in its order, all or the wanted ones.

    Raises:
        ValueError: what is wanted is no row, with or without a seed.
    """
    rows: list[Row] = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    chosen = {label: [row for row in rows if f"{row['label']}:".startswith(f"{label}:")] for label in wanted}
    if missing := [label for label, found in chosen.items() if not found]:
        raise ValueError(f"results/{name}.json has no row {', '.join(map(repr, missing))}")
    kept = {row["label"] for found in chosen.values() for row in found} if wanted else None
    return [
        row for row in rows if row["top1"] and row["top1"]["count"] if kept is None or row["label"] in kept
    ]


def table(name: str, wanted: Sequence[str]) -> str:
    """The rows of an experiment as Markdown."""
    lines = [line(row) for row in rows_of(name, wanted)]
    if not lines:
        return _NOTHING
    return "\n".join([f"| {' | '.join(_HEAD)} |", f"|---{'|---:' * (len(_HEAD) - 1)}|", *lines])


def differences_table(name: str, wanted: Sequence[str]) -> str:
    """Rows of an experiment as Markdown, with nothing but their difference to another row."""
    lines = [
        f"| {row['label']} | {difference(row)} | {row['difference']['count']} |"
        for row in rows_of(name, wanted)
        if compared(row)
    ]
    if not lines:
        return _NOTHING
    return "\n".join(["| | points | seeds |", "|---|---:|---:|", *lines])


def reading_table(name: str, wanted: Sequence[str]) -> str:
    """What branches repair and break, as Markdown, in means over the seeds."""
    if wanted:
        raise ValueError(f"rows of results/{name}.json cannot be chosen: {', '.join(wanted)}")
    seeds = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))["seeds"].values()
    found: dict[str, list[Row]] = {}
    for seed in seeds:
        for label, row in seed["rows"].items():
            found.setdefault(label, []).append(row)
    head = ("", "seeds", "TR", "JP", "repaired", "broken", "branches right, %", "errors inside a group, %")
    lines = [f"| {' | '.join(head)} |", f"|---{'|---:' * (len(head) - 1)}|"]
    for label, rows in found.items():
        ways = (f"{statistics.fmean(row[key] for row in rows):.2f}" for key in ("TR", "JP"))
        counts = (f"{statistics.fmean(row[key] for row in rows):.0f}" for key in ("repaired", "broken"))
        shares = (each_mean(rows, key) for key in ("branches", "errors_inside_a_group"))
        lines.append(f"| {' | '.join((label, str(len(rows)), *ways, *counts, *shares))} |")
    return "\n".join(lines)


def each_mean(rows: Sequence[Row], key: str) -> str:
    """Mean over the rows of each entry of a list."""
    columns = zip(*(row[key] for row in rows), strict=True)
    return ", ".join(f"{statistics.fmean(column):.1f}" for column in columns)


_MAKERS = {"table": table, "differences": differences_table, "reading": reading_table}


def renewed(page: str) -> str:
    """The text of a page with its tables as the files say."""

    def one(match: re.Match[str]) -> str:
        begin, kind, name, labels, end = match.groups()
        wanted = [label.strip() for label in labels.split(";")] if labels else []
        return f"{begin}{_MAKERS[kind](name, wanted)}\n{end}"

    return _TABLE.sub(one, page)


def main(check: bool) -> int:
    """Renew both pages, or only compare."""
    stale = 0
    for path in (ROOT / name for name in PAGES):
        old = path.read_text(encoding="utf-8")
        new = renewed(old)
        if new != old:
            stale = 1
            print(f"{path.name}: tables {'differ from results/' if check else 'renewed'}")
            if not check:
                path.write_text(new, encoding="utf-8")
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
