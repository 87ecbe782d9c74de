"""The evidence of a prediction: what each part said, how much it counted, and where it looked."""

from ssal.evidence.evidence import Evidence, Part, Share
from ssal.evidence.explanation import explain
from ssal.evidence.finer import find_sources
from ssal.evidence.sources import MapSource, pooled_sources
from ssal.evidence.terms import class_terms

__all__ = [
    "Evidence",
    "MapSource",
    "Part",
    "Share",
    "class_terms",
    "explain",
    "find_sources",
    "pooled_sources",
]
