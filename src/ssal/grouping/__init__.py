"""Groups of classes: what a grouping is, and how one is derived from a confusion matrix."""

from ssal.grouping.derive import group_classes
from ssal.grouping.grouping import Grouping, agreement

__all__ = ["Grouping", "agreement", "group_classes"]
