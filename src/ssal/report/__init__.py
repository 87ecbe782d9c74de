"""The report of a run: one HTML file to read, to print and to send to a colleague."""

from ssal.report.comparison import write_comparison
from ssal.report.report import write_report

__all__ = ["write_comparison", "write_report"]
