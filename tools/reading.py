"""What the branches of the verdict repair, and what a branch for classes says of groups.

python tools/reading.py STORE --out results/verdict-reading.json

STORE is the folder of `ssal reproduce verdict --scale cpu` with the outputs of its trainings, which are too
large to be kept with the results. Exponents are fitted to the held-out images, figures are of the test
images, and nothing is chosen by them. Seeds that the file has from another store stay in it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from ssal.confusion import load_confusion, similarity
from ssal.experiments.runner import plan_reproduction
from ssal.grouping import group_classes
from ssal.joint import Outputs, fit_exponents, joint_log_prob

WANTED = ("classes", "mixed", "join", "random", "once", "once-mixed")


def summed(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probabilities of groups [N, k] from logits of classes [N, C]: sums of probabilities."""
    groups = torch.zeros(len(logits), int(labels.max()) + 1)
    return groups.index_add_(1, labels, F.softmax(logits, dim=1)).clamp_min(1e-12).log()


def parts(
    tensors: dict[str, Tensor], names: tuple[str, ...], read_as: list[Tensor] | None
) -> tuple[Outputs, Tensor]:
    """Outputs and true classes of parts of the data, branches read as groups where that is asked for."""
    heads = sorted({name.rpartition(".")[2] for name in tensors if ".group" in name})
    main, target, *groups = (
        torch.cat([tensors[f"{name}.{key}"] for name in names]) for key in ("main", "targets", *heads)
    )
    if read_as is not None:
        groups = [summed(logits, labels) for logits, labels in zip(groups, read_as, strict=True)]
    return Outputs(main, tuple(groups)), target


def percent(right: Tensor) -> float:
    """Share of what is true."""
    return round(100 * float(right.float().mean()), 3)


def study(
    tensors: dict[str, Tensor], maps: list[Tensor], read_as: list[Tensor] | None = None
) -> dict[str, Any]:
    """Accuracies, and what becomes of the errors of the main classifier."""
    maps = maps if read_as is None else read_as
    exponents = fit_exponents(*parts(tensors, ("heldout", "calibration"), read_as), maps)
    outputs, target = parts(tensors, ("test",), read_as)
    joint = joint_log_prob(outputs, maps, exponents.branches, exponents.main).argmax(dim=1)
    main = outputs.main.argmax(dim=1)
    wrong = main != target
    inside = torch.stack([labels[main] == labels[target] for labels in maps])[:, wrong]
    return {
        "TR": percent(~wrong),
        "JP": percent(joint == target),
        "repaired": int((wrong & (joint == target)).sum()),
        "broken": int((~wrong & (joint != target)).sum()),
        "branches": [
            percent(logits.argmax(dim=1) == labels[target])
            for logits, labels in zip(outputs.groups, maps, strict=True)
        ],
        "errors_inside_a_group": [percent(each) for each in inside],
        "errors_inside_all": percent(inside.all(dim=0)),
        "exponents": [exponents.main, *exponents.branches],
    }


def study_seed(folders: dict[str, Path], confusion: Path) -> dict[str, Any]:
    """The trainings whose outputs are there, and the branches for classes read as groups.

    Args:
        folders: of the trainings, by name.
        confusion: file of the baseline's.
    """
    tensors: dict[str, dict[str, Tensor]] = {}
    maps: dict[str, list[Tensor]] = {}
    for name, folder in folders.items():
        if (folder / "outputs.safetensors").exists():
            tensors[name] = load_file(folder / "outputs.safetensors")
            result = json.loads((folder / "training.json").read_text(encoding="utf-8"))
            maps[name] = [torch.tensor(each["labels"]) for each in result["groupings"]]
    if "classes" not in tensors:
        return {}
    rows = {name: study(tensors[name], maps[name]) for name in tensors}
    read_as = {name: maps[name] for name in ("join", "random", "mixed") if name in maps}
    similar = similarity(load_confusion(confusion)[0])
    for counts in ((20, 33, 50), (10, 10, 10)):
        text = ", ".join(map(str, counts))
        read_as[f"split {text}"] = chosen_together(similar, counts, share=1.0)
        read_as[f"a code of {text}"] = chosen_together(similar, counts, share=0.25)
    for name, groupings in read_as.items():
        rows[f"classes, read as {name}"] = study(tensors["classes"], maps["classes"], groupings)
    return rows


def chosen_together(similar: NDArray[np.float64], counts: Sequence[int], share: float) -> list[Tensor]:
    """Groups that keep look-alike classes apart, the branches one after the other.

    What a branch separates counts less for the next ones, as in an error-correcting output code: each pair of
    classes is to be separated by as many branches as its confusion deserves.

    Args:
        similar: [C, C], how alike classes are.
        counts: numbers of groups.
        share: what is left of a pair's weight with each branch that separates it; 1 for groups chosen alone.
    """
    weights, labels = np.array(similar), list[Tensor]()
    for seed, count in enumerate(counts):
        grouping = group_classes(weights, count, criterion="split", seed=seed)
        together = grouping.labels[:, None] == grouping.labels
        weights = np.where(together, weights, share * weights)
        labels.append(torch.tensor(grouping.labels))
    return labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    plan = plan_reproduction("verdict", out=given.store, cells=WANTED)
    seeds: dict[str, dict[str, Any]] = {}
    if given.out.exists():
        seeds = json.loads(given.out.read_text(encoding="utf-8"))["seeds"]
    for seed in sorted({cell.seed for cell in plan.cells}):
        digests = {cell.name: cell.digest for cell in plan.cells if cell.seed == seed and cell.name in WANTED}
        folders = {name: given.store / "trainings" / digest for name, digest in digests.items()}
        [baseline] = {cell.digest for cell in plan.cells if cell.seed == seed and cell.name == "baseline"}
        rows = study_seed(folders, given.store / "trainings" / baseline / "confusion.npz")
        if rows:
            known = {name: digests[name] for name in rows if name in digests}
            seeds[str(seed)] = {"rows": rows, "digests": known}
    record = {"experiment": "verdict", "scale": "cpu", "seeds": dict(sorted(seeds.items()))}
    given.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
