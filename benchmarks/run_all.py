"""Run all benchmarks and write their ratios as a Markdown table."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import arguments

_SCRIPTS = (
    "training_throughput",
    "branch_step",
    "hidden_copies",
    "light_flops",
    "memory_epoch",
    "jpeg_epoch",
    "memory_growth",
    "folder_start",
    "joint_probability",
    "main_prediction",
    "exported_inference",
    "grouping_dense",
    "grouping_sparse",
    "ddp",
)


def row(ratio: dict[str, Any]) -> str:
    """One line of the table."""
    sides = ", ".join(f"{name} {value:.4g}" for name, value in ratio["sides"].items())
    sign = "≥" if ratio["better"] == "at least" else "≤"
    reached = "yes" if ratio["reached"] else "**no**"
    return f"| {ratio['name']} | {ratio['ratio']:.4g} | {sign} {ratio['target']:g} | {reached} | {sides} |"


def main() -> None:
    given = arguments(0, [("out", Path, Path("benchmarks.md"), "file of the table")])
    folder = Path(__file__).parent
    begun = time.perf_counter()
    lines = ["| ratio | measured | target | reached | medians |", "|---|---|---|---|---|"]
    for name in _SCRIPTS:
        started = time.perf_counter()
        done = subprocess.run([sys.executable, folder / f"{name}.py"], capture_output=True, text=True)
        print(done.stdout, end="", flush=True)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            lines.append(f"| {name} | failed: {last[0]} | | | |")
        lines += [row(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"all: {time.perf_counter() - begun:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
