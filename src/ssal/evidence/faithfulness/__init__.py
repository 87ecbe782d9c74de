"""Sanity checks of explanations: deletion, insertion, randomised weights, another model.

| step | modules |
|---|---|
| what is explained, and the maps of it | `targets`, `reader`, `survey` |
| orders of pixels, and those to beat | `orders`, `contestants` |
| deletion and insertion | `baselines`, `occlusion`, `contests`, `differences` |
| randomised weights | `layers`, `likeness`, `randomise` |
| two models | `compare` |
| all of it, as values, JSON, sentences, a table | `check`, `results`, `record`, `findings`, `table` |
"""

from ssal.evidence.faithfulness.check import check_explanations
from ssal.evidence.faithfulness.compare import compare_checks
from ssal.evidence.faithfulness.findings import findings
from ssal.evidence.faithfulness.record import as_record
from ssal.evidence.faithfulness.results import Against, ExplanationChecks
from ssal.evidence.faithfulness.table import format_checks

__all__ = [
    "Against",
    "ExplanationChecks",
    "as_record",
    "check_explanations",
    "compare_checks",
    "findings",
    "format_checks",
]
