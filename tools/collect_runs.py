"""Put runs that differ by their seed together: every number as JSON, and mean ± deviation as Markdown.

python tools/collect_runs.py runs/a-0 runs/a-1 runs/a-2 --out results/a --commit $(git rev-parse HEAD)

Writes `results/a.json` and `results/a.md`. With `--longer runs/b-0 …`, runs of these seeds whose baselines
have more epochs, those are a reference too: what the time of the branches brings without them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ssal.experiments.summary import paired_difference, summarise_values

Run = dict[str, Any]
WAYS = ("baseline", "TR", "JP", "LC")
# How runs were made, not what they are.
_LEFT_OUT = {"seed", "data_dir", "workers", "logger", "checkpoint", "precision"}


def read(folder: Path) -> Run:
    environment = json.loads((folder / "env.json").read_text())
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    checks = folder / "eval" / "explanations.json"
    metrics = json.loads((folder / "metrics.json").read_text())
    for score in metrics["selective"]["scores"].values():
        score.pop("risk_coverage", None)
    for way in metrics["calibration"].values():
        way.pop("reliability", None)
    metrics["back_off"].pop("curve", None)
    return {
        "seed": settings["seed"],
        "baseline_epochs": settings.pop("baseline_epochs", None) or settings["epochs"],
        "settings": {key: value for key, value in settings.items() if key not in _LEFT_OUT},
        "environment": {key: environment[key] for key in ("versions", "cpus", "threads", "precision")},
        "metrics": metrics,
        "explanations": _checks(json.loads(checks.read_text())) if checks.exists() else None,
    }


def _checks(record: dict[str, Any]) -> dict[str, Any]:
    kept = ("part", "method", "grid", "deletion", "insertion", "wrong_group")
    parts = [{key: part[key] for key in kept} for part in record["parts"]]
    return {"images": record["images"], "parts": parts, "findings": record["findings"]}


def _spread(values: list[float], digits: int) -> str:
    summary = summarise_values(values)
    if summary is None:
        return ""
    deviation = "" if summary.deviation is None else f" ± {summary.deviation:.{digits}f}"
    return f"{summary.mean:.{digits}f}{deviation}"


def _table(header: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])


def _top1(runs: list[Run], way: str) -> dict[int, float]:
    return {run["seed"]: run["metrics"][way]["top1"] for run in runs if way in run["metrics"]}


def _against(mine: dict[int, float], other: dict[int, float]) -> str:
    found = paired_difference(mine, other)
    if mine == other or found is None or found.low is None:
        return ""
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def accuracy(runs: list[Run], longer: list[Run]) -> str:
    references = [("to baseline", _top1(runs, "baseline"))]
    if longer:
        references.append(("to longer baseline", _top1(longer, "baseline")))
    header = ["", "top-1 %", *(name for name, _ in references)]
    header += ["top-5 %", "NLL", "ECE %", "Brier", "parameters", "seconds"]
    lines: list[list[str]] = []
    rows = [(way, way, runs) for way in WAYS]
    rows.insert(1, ("baseline", "longer baseline", longer))
    for way, name, those in rows:
        seen = [run["metrics"] for run in those if way in run["metrics"]]
        if not seen:
            continue
        lines.append(
            [
                name,
                _spread([metrics[way]["top1"] for metrics in seen], 2),
                *(_against(_top1(those, way), other) for _, other in references),
                _spread([metrics[way]["top5"] for metrics in seen], 2),
                _spread([metrics[way]["nll"] for metrics in seen], 3),
                _spread([metrics[way]["ece"] for metrics in seen], 2),
                _spread([metrics["calibration"][way]["brier"] for metrics in seen], 3),
                f"{seen[0]['params'][way]:,}",
                _spread([metrics["seconds"][way] for metrics in seen], 0),
            ]
        )
    return _table(header, lines)


def errors(runs: list[Run]) -> str:
    names = list(runs[0]["metrics"]["selective"]["scores"])

    def values(name: str, key: str) -> list[float]:
        return [run["metrics"]["selective"]["scores"][name][key] for run in runs]

    lines = [[name, _spread(values(name, "auroc"), 4), _spread(values(name, "aurc"), 4)] for name in names]
    return _table(["score", "AUROC of error detection", "area under risk-coverage"], lines)


def maps(runs: list[Run]) -> str:
    checked = [run["explanations"]["parts"] for run in runs if run["explanations"]]
    if not checked:
        return ""

    def area(kind: str) -> Callable[[int], str]:
        return lambda index: _spread([parts[index]["deletion"][kind] for parts in checked], 3)

    lines = [
        [part["part"], *(area(kind)(index) for kind in ("map", "random", "centre"))]
        for index, part in enumerate(checked[0])
        if all(index < len(parts) and parts[index]["part"] == part["part"] for parts in checked)
    ]
    return _table(["area under deletion", "map", "random maps", "centre"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--longer", nargs="*", type=Path, default=[], help="the same with longer baselines")
    parser.add_argument("--out", type=Path, required=True, help="path of the results, without suffix")
    parser.add_argument("--commit", required=True, help="commit that the runs were made with")
    parser.add_argument("--longer-commit", help="that of the longer ones, if another")
    arguments = parser.parse_args()
    runs, longer = (
        sorted((read(folder) for folder in folders), key=lambda run: run["seed"])
        for folders in (arguments.runs, arguments.longer)
    )
    for those in (runs, longer):
        if any(run["settings"] != those[0]["settings"] for run in those):
            parser.error("the runs differ by more than their seed")
    settings = runs[0]["settings"]
    record = {"commit": arguments.commit, "settings": settings, "runs": [_own(run) for run in runs]}
    if longer:
        record["longer"] = {
            "commit": arguments.longer_commit or arguments.commit,
            "settings": longer[0]["settings"],
            "runs": [_own(run, only="baseline") for run in longer],
        }
    arguments.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    seeds = ", ".join(str(run["seed"]) for run in runs)
    head = f"Mean ± standard deviation over the seeds {seeds}."
    sections = [head, accuracy(runs, longer), errors(runs), maps(runs)]
    arguments.out.with_suffix(".md").write_text("\n\n".join(filter(None, sections)) + "\n")


def _own(run: Run, only: str | None = None) -> Run:
    """What is kept of a run; of its measures those of one way alone, if one is named."""
    kept = {key: run[key] for key in ("seed", "environment", "metrics", "explanations")}
    if only is not None:
        tables = {key: run["metrics"][key] for key in ("params", "flops", "seconds", "calibration")}
        kept["metrics"] = {only: run["metrics"][only]} | {key: {only: tables[key][only]} for key in tables}
        del kept["explanations"]
        kept["epochs"] = run["baseline_epochs"]
    return kept


if __name__ == "__main__":
    main()
