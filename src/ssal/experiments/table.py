"""A table of results as text: for a terminal, as Markdown, as CSV, as plain values for JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from ssal.experiments.results import RowResult, column
from ssal.experiments.shown import Measure
from ssal.experiments.summary import Difference, Summary, paired_difference, summarise_values
from ssal.text import visible

_HEADER: tuple[str, ...] = (
    "", "top-1 %", "n", "published", "to reference", "top-5 %", "published",
    "NLL", "ECE %", "AUROC", "parameters", "published", "MFLOPs", "seconds",
)  # fmt: skip

_MEASURES: tuple[tuple[Measure, int], ...] = (("nll", 3), ("ece", 2), ("auroc", 3))


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _spread(summary: Summary | None) -> str:
    if summary is None:
        return ""
    deviation = "" if summary.deviation is None else f" ± {summary.deviation:.2f}"
    return f"{summary.mean:.2f}{deviation}"


def _interval(difference: Difference | None, summary: Summary | None) -> str:
    if difference is None:
        return ""
    bounds = "" if difference.low is None else f" [{difference.low:+.2f}, {difference.high:+.2f}]"
    # Where the reference has fewer seeds than the row.
    fewer = "" if summary is None or difference.count == summary.count else f", n = {difference.count}"
    return f"{difference.mean:+.2f}{bounds}{fewer}"


def _mean(result: RowResult, key: str, divisor: float, digits: int) -> str:
    summary = summarise_values(list(column(result, key).values()))
    return "" if summary is None else f"{summary.mean / divisor:.{digits}f}"


def _parameters(result: RowResult) -> str:
    summary = summarise_values(list(column(result, "parameters").values()))
    return "" if summary is None else f"{summary.mean / 1e6:.{2 if summary.mean >= 1e6 else 3}f}M"


def _status(result: RowResult) -> str:
    """What to show instead of a number."""
    return "failed" if any(text != "waiting" for text in result.missing.values()) else "–"


def failures(results: Sequence[RowResult]) -> list[str]:
    """A line for each row and error that kept it from being measured."""
    lines = {
        f"{visible(result.row.label, keep='')}: {visible(error, keep='')}": None
        for result in results
        for error in result.missing.values()
        if error != "waiting"
    }
    return list(lines)


def compare(results: Sequence[RowResult], result: RowResult, key: str = "top1") -> Difference | None:
    """Difference of a row to its reference row."""
    if result.row.reference is None:
        return None
    reference = next((other for other in results if other.row.label == result.row.reference), None)
    return None if reference is None else paired_difference(column(result, key), column(reference, key))


def table_cells(results: Sequence[RowResult], measures: Sequence[Measure] = ()) -> list[list[str]]:
    """The texts of the table, the header first, with some measures beside accuracy and cost."""
    lines = [list(_HEADER)]
    for result in results:
        published = result.row.published
        summary = summarise_values(list(column(result, "top1").values()))
        deviation = "" if published.top1_sd is None else f" ± {published.top1_sd:g}"
        wanted = len(result.by_seed) + len(result.missing)
        lines.append(
            [
                visible(result.row.label, keep=""),
                _status(result) if summary is None else _spread(summary),
                f"{0 if summary is None else summary.count}/{wanted}",
                _number(published.top1) + deviation,
                _interval(compare(results, result), summary),
                "" if published.top5 is None else _mean(result, "top5", 1, 2),
                _number(published.top5),
                *(_mean(result, key, 1, digits) if key in measures else "" for key, digits in _MEASURES),
                _parameters(result),
                "" if published.parameters is None else f"{published.parameters:g}M",
                _mean(result, "flops", 1e6, 1),
                _mean(result, "seconds", 1, 0),
            ]
        )
    # Columns that no row fills say nothing.
    used = [index for index in range(len(_HEADER)) if index < 3 or any(line[index] for line in lines[1:])]
    return [[line[index] for index in used] for line in lines]


def as_text(results: Sequence[RowResult], measures: Sequence[Measure] = ()) -> str:
    """The table for a terminal."""
    lines = table_cells(results, measures)
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    texts = [
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([texts[0], "─" * (sum(widths) + 2 * len(widths) - 2), *texts[1:]])


def as_markdown(results: Sequence[RowResult], measures: Sequence[Measure] = ()) -> str:
    """The table as Markdown."""
    cells = table_cells(results, measures)
    header, *body = [[cell.replace("|", "\\|") for cell in line] for line in cells]
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *body])


def as_csv(results: Sequence[RowResult]) -> str:
    """Every number of every row and seed as CSV."""
    keys = ("top1", "top5", "nll", "ece", "auroc", "parameters", "flops", "seconds")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["label", "way", "seed", *keys, "published_top1", "trainings", "missing"])
    for result in results:
        row = result.row
        for seed in sorted({*result.by_seed, *result.missing}):
            values = result.by_seed.get(seed, {})
            numbers = [repr(values[key]) if key in values else "" for key in keys]
            published = "" if row.published.top1 is None else repr(row.published.top1)
            trainings, missing = " ".join(result.digests[seed]), result.missing.get(seed, "")
            label, reason = (visible(text, keep="") for text in (row.label, missing))
            writer.writerow([label, row.way, seed, *numbers, published, trainings, reason])
    return buffer.getvalue()


def as_values(results: Sequence[RowResult]) -> list[dict[str, Any]]:
    """Every number of every row as plain values."""
    rows: list[dict[str, Any]] = []
    for result in results:
        summary = summarise_values(list(column(result, "top1").values()))
        difference = compare(results, result)
        rows.append(
            {
                **result.row.model_dump(mode="json", exclude_defaults=True),
                "top1": None if summary is None else vars(summary),
                "difference": None if difference is None else vars(difference),
                "by_seed": {str(seed): dict(values) for seed, values in result.by_seed.items()},
                "missing": {str(seed): reason for seed, reason in result.missing.items()},
                "digests": {str(seed): list(digests) for seed, digests in result.digests.items()},
            }
        )
    return rows
