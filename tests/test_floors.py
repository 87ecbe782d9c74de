"""Imports run downwards only: from each module to modules on lower floors, or within its own package."""

import ast
from pathlib import Path

import ssal

ROOT = Path(ssal.__file__).parent

FLOORS = [
    {"errors", "files", "groupitems", "interrupts", "machine", "modes", "safeyaml", "text"},
    {
        "backbones",
        "branches",
        "checkpoint",
        "config",
        "confusion",
        "cost",
        "data",
        "directory",
        "metrics",
        "taps",
    },
    {"grouping", "weights"},
    {"joint"},
    {"model", "selective"},
    {"training", "evidence"},
    {"run"},
    {"experiments", "export", "report", "demo"},
    {"api"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def owner(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Names of ssal's own modules that a file imports anywhere, functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "ssal":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("ssal."):
            names.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ssal.")}
    return names


def test_every_module_has_a_floor() -> None:
    found = {owner(path) for path in ROOT.rglob("*.py")} - {"__init__"}
    assert found <= set(FLOOR), f"without a floor: {found - set(FLOOR)}"


def test_imports_run_downwards() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in ROOT.rglob("*.py")
        if (module := owner(path)) != "__init__"
        for name in imported(path)
        if name != module and FLOOR[name] >= FLOOR[module]
    ]
    assert not wrong


def test_only_training_knows_lightning() -> None:
    users = {
        owner(path)
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom | ast.Import)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
        if name.split(".")[0] in ("lightning", "pytorch_lightning")
    }
    assert users == {"training"}


def test_the_public_face() -> None:
    assert ssal.__all__ == [
        "Branch",
        "DataError",
        "Exponents",
        "Grouping",
        "InputError",
        "LinearCombination",
        "Outputs",
        "Prediction",
        "Predictor",
        "Run",
        "RunError",
        "SSALModel",
        "SsalError",
        "confusion_matrix",
        "fit_exponents",
        "group_classes",
        "joint_log_prob",
        "load",
        "save",
        "soft_confusion",
        "ssal_loss",
        "train",
        "write_report",
    ]
    for name in ssal.__all__:
        assert getattr(ssal, name).__name__ == name
        assert getattr(ssal, name).__doc__
