"""`ssal report A B`: a page that holds runs against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssal.errors import InputError
from ssal.files import write_text
from ssal.report.comparison.charts import curve_charts, paired_chart
from ssal.report.comparison.differences import (
    Difference,
    compare_groups,
    differing_settings,
    only_seeds_differ,
    paired_differences,
    same_samples,
)
from ssal.report.comparison.labels import run_labels
from ssal.report.comparison.seeds import (
    gain_over_seeds,
    map_rows,
    score_rows,
    spread_rows,
)
from ssal.report.comparison.seedwords import seed_sentences
from ssal.report.names import clipped
from ssal.report.numbers import decimals, signed, tied
from ssal.report.page import render_page
from ssal.report.reading import Record, read_record
from ssal.report.sections.results import result_rows

# More lines than this in one chart are not told apart.
_MOST = 8


def headline(records: Sequence[Record], labels: Sequence[str], differences: Sequence[Difference]) -> str:
    """The comparison in a sentence."""
    if only_seeds_differ(records) and all(record.metrics.baseline is not None for record in records):
        return _over_seeds(records)
    if len({record.settings.get("data") for record in records}) > 1:
        return "The runs were measured on different data: their accuracies do not compare."
    best = max(range(len(records)), key=lambda number: records[number].metrics.JP.top1)
    first = records[0].metrics.JP.top1
    text = f"{clipped(labels[best], 40)} is right most often: {decimals(records[best].metrics.JP.top1)} %"
    if best == 0:
        return f"{text} by the joint prediction; no other run gets more."
    text += f" by the joint prediction, against {decimals(first)} % of {clipped(labels[0], 40)}"
    paired = next((entry.paired for entry in differences if (entry.run, entry.way) == (best, "JP")), None)
    if paired is None:
        return f"{text}."
    verdict = (
        "more than the choice of test images explains" if paired.better else "a difference that may be chance"
    )
    return f"{text} ({signed(paired.difference)} points): {verdict}."


def _over_seeds(records: Sequence[Record]) -> str:
    gains = [
        record.metrics.JP.top1 - record.metrics.baseline.top1
        for record in records
        if record.metrics.baseline is not None
    ]
    found = gain_over_seeds(gains)
    often = "each" if found.above == found.runs else str(found.above) if found.above else "none"
    verdict = "may be chance" if found.low <= 0 <= found.high else "is more than the choice of seeds explains"
    return (
        f"Over {found.runs} seeds the joint prediction differs from the baseline by "
        f"{signed(found.mean)} ± {decimals(found.deviation)} points, better in {often} of {found.runs} runs: "
        f"with a 95 % interval of {signed(found.low)} to {signed(found.high)}, that {verdict}."
    )


def render_comparison(records: Sequence[Record]) -> str:
    """The page as text."""
    labels = run_labels([record.path for record in records])
    differences = paired_differences(records)
    repeated = only_seeds_differ(records)
    charts = [paired_chart(differences, labels, way) for way in ("baseline", "TR", "JP")]
    return render_page(
        "compare.html",
        records=records,
        labels=labels,
        headline=tied(headline(records, labels, differences)),
        unpaired=[
            labels[number]
            for number, record in enumerate(records)
            if number and not same_samples(records[0], record)
        ],
        tables=[result_rows(record) for record in records],
        spread=spread_rows(records) if repeated else [],
        sentences=[tied(sentence) for sentence in seed_sentences(records)] if repeated else [],
        scores=score_rows(records) if repeated else [],
        maps=map_rows(records) if repeated else [],
        differences=differences,
        paired=[chart for chart in charts if chart is not None],
        settings=differing_settings(records),
        groups=compare_groups(records),
        curves=curve_charts(records, labels),
    )


def write_comparison(paths: Sequence[Path], out: Path) -> Path:
    """Write a page that compares finished runs; the first is the one that others are held against.

    Args:
        paths: two to eight run directories.
        out: the file.

    Returns:
        The file.

    Raises:
        InputError: there are too few or too many runs, or one is given twice.
        RunError: one of them is no finished run, or cannot be read.
        OSError: the file cannot be written; it is then as it was.
    """
    if not 2 <= len(paths) <= _MOST:
        raise InputError(f"2 to {_MOST} runs can be compared, not {len(paths)}")
    places = [path.resolve() for path in paths]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise InputError(f"{paths[number]} is given twice; compare it with another run")
    write_text(out, render_comparison([read_record(path) for path in paths]))
    return out
