"""Curves of several runs in one chart."""

from __future__ import annotations

from collections.abc import Sequence

from ssal.report.charts import Line
from ssal.report.comparison.differences import Difference
from ssal.report.names import clipped
from ssal.report.reading import Record
from ssal.report.section import Chart
from ssal.report.sections.results import difference_chart
from ssal.report.sections.training import epoch_chart, series
from ssal.report.theme import SERIES

_CURVES = (
    ("joint", "val_top1_joint", "Held-out accuracy of JP", "top-1, %", False),
    ("baseline", "val_top1", "Held-out accuracy of the baseline", "top-1, %", False),
    ("joint", "val_loss", "Held-out loss, joint training", "NLL, log scale", True),
    ("baseline", "val_loss", "Held-out loss of the baseline", "NLL, log scale", True),
)


def curve_charts(records: Sequence[Record], labels: Sequence[str]) -> list[Chart]:
    """Accuracy and loss per epoch, a line for each run."""
    charts: list[Chart] = []
    for number, (stage, column, title, y, logarithmic) in enumerate(_CURVES):
        lines = [
            Line(clipped(label, 9), *series(record.epochs, stage, column), tone)
            for record, label, tone in zip(records, labels, SERIES * len(records), strict=False)
        ]
        chart = epoch_chart(lines, f"curve-{number}", y, title, logarithmic=logarithmic)
        if chart is not None:
            charts.append(chart)
    return charts


def paired_chart(differences: Sequence[Difference], labels: Sequence[str], way: str) -> Chart | None:
    """Differences to the first run by one way of prediction."""
    chosen = {
        clipped(labels[difference.run], 9): difference.paired
        for difference in differences
        if difference.way == way
    }
    if not chosen:
        return None
    return Chart(f"{way} against {clipped(labels[0], 24)}", difference_chart(chosen, f"paired-{way}"))
