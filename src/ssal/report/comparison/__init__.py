"""Several runs side by side."""

from ssal.report.comparison.page import write_comparison

__all__ = ["write_comparison"]
