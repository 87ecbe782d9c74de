"""Results of a run: one summary per way of prediction, as numbers, as a table, and sample by sample."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ssal.errors import RunError
from ssal.joint import Outputs
from ssal.metrics import error_detection_auroc, summarise
from ssal.model import SSALModel
from ssal.run.verdict import error_detection_line, guarantee_line

WAYS = ("baseline", "TR", "JP", "LC")
_COLUMNS = ("top1", "top5", "nll", "ece")


def group_accuracy(outputs: Outputs, target: Tensor, model: SSALModel) -> list[float]:
    """Share of samples whose group each branch predicts, in percent."""
    return [
        100 * float((logits.argmax(dim=1) == labels[target]).double().mean())
        for logits, labels in zip(outputs.groups, (label.cpu() for label in model.labels), strict=True)
    ]


def agreement(outputs: Outputs, winners: Tensor, labels: Sequence[Tensor]) -> Tensor:
    """Number of branches whose predicted group holds the predicted class, int64 [N]."""
    count = torch.zeros(len(winners), dtype=torch.int64)
    for logits, label in zip(outputs.groups, labels, strict=True):
        count += logits.argmax(dim=1) == label.cpu()[winners]
    return count


def error_detection(log_probs: Mapping[str, Tensor], target: Tensor) -> dict[str, float | None]:
    """AUROC with which the largest probability of each way tells right from wrong; None if all are right."""
    result: dict[str, float | None] = {}
    for way, scores in log_probs.items():
        correct = (scores.argmax(dim=1) == target).numpy()
        one_sided = bool(correct.all() or not correct.any())
        # Minus what the other classes get together: it orders alike, and does not round to 1.
        others = scores.double().scatter(1, scores.argmax(dim=1, keepdim=True), -torch.inf)
        confidence = -others.logsumexp(dim=1).numpy()
        result[way] = None if one_sided else float(error_detection_auroc(confidence, correct))
    return result


def summaries(log_probs: Mapping[str, Tensor], target: Tensor) -> dict[str, dict[str, float]]:
    """Top-1, top-5, NLL and ECE of each way."""
    return {way: summarise(scores, target) for way, scores in log_probs.items()}


def predictions_table(
    indices: Tensor,
    target: Tensor,
    log_probs: Mapping[str, Tensor],
    outputs: Outputs,
    model: SSALModel,
    class_names: Sequence[str],
) -> bytes:
    """One row per sample as a Parquet file: truth, each way's class and probability, each branch's group."""
    names = np.asarray(class_names, dtype=object)
    columns: dict[str, Any] = {"index": indices.numpy(), "target": names[target.numpy()]}
    for way, scores in log_probs.items():
        best = scores.max(dim=1)
        columns[way] = names[best.indices.numpy()]
        columns[f"{way}_probability"] = best.values.exp().numpy()
    for number, logits in enumerate(outputs.groups):
        best = torch.softmax(logits, dim=1).max(dim=1)
        columns[f"branch{number + 1}_group"] = best.indices.numpy()
        columns[f"branch{number + 1}_probability"] = best.values.numpy()
    columns["agreement"] = agreement(outputs, log_probs["JP"].argmax(dim=1), model.labels).numpy()
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def format_table(metrics: Mapping[str, Any]) -> str:
    """The result table of a run as plain text."""
    header = f"{'':10}{'top-1 %':>9}{'top-5 %':>9}{'NLL':>8}{'ECE %':>8}{'params':>12}{'seconds':>10}"
    lines = [header, "─" * len(header)]
    for way in WAYS:
        if way in metrics:
            row = metrics[way]
            values = f"{row['top1']:9.2f}{row['top5']:9.2f}{row['nll']:8.3f}{row['ece']:8.2f}"
            params, seconds = metrics["params"].get(way), metrics["seconds"].get(way)
            cost = f"{'' if params is None else f'{params:,}':>12}"
            time = f"{'' if seconds is None else f'{seconds:.1f}':>10}"
            lines.append(f"{way:10}{values}{cost}{time}")
    for branch in metrics["branches"]:
        lines.append(
            f"branch {branch['tap']}: {branch['num_groups']} groups, {branch['top1']:.2f} % right, "
            f"weight {branch['weight']:g}, exponent {branch['exponent']:.3f}"
        )
    lines += [line for line in (error_detection_line(metrics), guarantee_line(metrics)) if line is not None]
    return "\n".join(lines)


def read_metrics(path: Path) -> dict[str, Any]:
    """Content of `metrics.json`.

    Raises:
        RunError: the file cannot be read, or lacks what the result table shows.
    """
    try:
        metrics = json.loads(path.read_bytes())
        format_table(metrics)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise RunError(f"{path} is damaged, or no metrics of a run") from None
    return metrics
