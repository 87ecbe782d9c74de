"""What the tests run with is pinned to digests, and an audit that learnt nothing is not taken for a good one.

That nothing is fetched at import or in a run is tested in `test_network.py`.
"""

import base64
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
PIN = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!+]+) --hash=sha256:(?P<digest>[0-9a-f]{64})"
)


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins() -> dict[str, str]:
    found = [PIN.fullmatch(line) for line in LOCK.splitlines() if not line.startswith("#")]
    assert None not in found
    return {canonicalize_name(pin["name"]): pin["version"] for pin in found if pin}


NEEDS_MAKE = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


class TestLock:
    def test_each_line_is_a_version_with_a_digest_and_says_nothing_of_where_from(self) -> None:
        header, *lines = LOCK.splitlines()
        assert header.startswith("# Made by `make lock`")
        assert all(PIN.fullmatch(line) for line in lines)
        assert len(pins()) == len(lines)
        assert len({line.partition("sha256:")[2] for line in lines}) == len(lines)

    def test_it_covers_what_the_project_asks_for(self) -> None:
        pinned = pins()
        for text in tool("lock").wanted():
            asked = Requirement(text)
            assert asked.specifier.contains(pinned[canonicalize_name(asked.name)]), text

    def test_it_is_the_only_place_with_versions(self) -> None:
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
        if tracked.returncode:
            pytest.skip("needs the git repository")
        with_pins = {
            name
            for name in tracked.stdout.splitlines()
            if Path(name).suffix in ("", ".cfg", ".in", ".lock", ".toml", ".txt")
            and re.search(r"^\s*\"?[\w.-]+==\d", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        }
        assert with_pins == {"requirements-dev.lock"}

    @NEEDS_MAKE
    def test_make_takes_the_versions_alone_for_other_places(self, tmp_path: Path) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "python").touch()
        subprocess.run(["make", f"VENV={tmp_path}", tmp_path / "versions.txt"], cwd=ROOT, check=True)
        lines = (tmp_path / "versions.txt").read_text().splitlines()
        assert lines == tool("lock").versions(LOCK) and len(lines) == len(pins())

    @NEEDS_MAKE
    def test_tests_need_no_audit(self, tmp_path: Path) -> None:
        plan = ["make", "--dry-run", f"VENV={tmp_path}"]
        runs = {
            target: subprocess.run(
                [*plan, target], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout
            for target in ("test", "audit")
        }
        assert "tools/audit.py" in runs["audit"] and "tools/audit.py" not in runs["test"]
        assert "--require-hashes --requirement requirements-dev.lock" in runs["test"]
        assert "audit" not in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def wheel(folder: Path, name: str, version: str, *requires: str, word: str = "") -> Path:
    """A package of one empty module."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        f"{name}.py": f"# {word}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},"
        f"{len(text.encode())}"
        for path, text in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(inner, text)
    return path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for key in [key for key in os.environ if key.startswith("PIP_")]:
        monkeypatch.delenv(key)
    for key, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(f"PIP_{key}", value)
    return folder


class TestMakingTheLock:
    def test_what_is_needed_is_pinned_to_the_files_that_are_there(self, shelf: Path) -> None:
        lock = tool("lock")
        files = [wheel(shelf, "above", version, "below>=1") for version in ("1.0", "2.0")]
        files.append(wheel(shelf, "below", "1.5"))
        old, new, below = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
        assert lock.resolve(["above>=1"], []) == [
            f"above==2.0 --hash=sha256:{new}",
            f"below==1.5 --hash=sha256:{below}",
        ]
        kept = lock.resolve(["above>=1"], lock.versions(f"# old\nabove==1.0 --hash=sha256:{old}\n"))
        assert kept[0] == f"above==1.0 --hash=sha256:{old}"
        with pytest.raises(lock.LockError, match="no versions that fit together"):
            lock.resolve(["above>=2"], ["above==1.0"])

    def test_another_file_of_the_same_name_is_not_installed(self, shelf: Path, tmp_path: Path) -> None:
        wheel(shelf, "above", "1.0")
        (tmp_path / "a.lock").write_text("\n".join(tool("lock").resolve(["above"], [])) + "\n")
        install = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
            *("--requirement", tmp_path / "a.lock", "--target"),
        ]
        assert subprocess.run([*install, tmp_path / "sound"], check=False).returncode == 0
        assert (tmp_path / "sound" / "above.py").exists()
        wheel(shelf, "above", "1.0", word="another")
        refused = subprocess.run([*install, tmp_path / "other"], capture_output=True, text=True, check=False)
        assert refused.returncode and "DO NOT MATCH THE HASHES" in refused.stderr
        assert not (tmp_path / "other").exists()

    def test_elsewhere_it_is_not_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lock = tool("lock")
        monkeypatch.setattr(lock, "here", lambda: ("3.13", "Darwin", "arm64"))
        for option in ([], ["--fits"]):
            monkeypatch.setattr("sys.argv", ["lock.py", *option])
            assert lock.main() != 0
        monkeypatch.setattr(lock, "here", lambda: lock.PLACE)
        assert lock.main() == 0


def clean(name: str) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": []}


def faulty(name: str) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["1.1"]}]}


def unknown(name: str) -> dict[str, Any]:
    return {"name": name, "skip_reason": f"{name} could not be audited"}


class TestAudit:
    @pytest.mark.parametrize(
        ("kinds", "status", "last"),
        [
            ([clean, clean], 0, "2 packages, no known vulnerability"),
            ([clean, faulty], 1, "p1 1.0: CVE-2026-1, fixed in 1.1"),
            ([unknown, unknown], 2, "0 of 2 packages were looked up, for example p0 could not be audited"),
            ([clean, unknown], 2, "1 of 2 packages were looked up, for example p1 could not be audited"),
            ([clean], 2, "1 of 2 packages were looked up"),
            ([], 2, "0 of 2 packages were looked up"),
            ([faulty, unknown], 1, "1 of 2 packages were looked up, for example p1 could not be audited"),
        ],
    )
    def test_a_package_that_was_not_looked_up_is_no_sound_one(
        self, kinds: list[Callable[[str], dict[str, Any]]], status: int, last: str
    ) -> None:
        found, lines = tool("audit").judge([make(f"p{number}") for number, make in enumerate(kinds)], 2)
        assert found == status and lines[-1] == last

    @pytest.mark.parametrize(
        ("answer", "part"),
        [
            (
                json.dumps({"dependencies": [unknown("torch")], "fixes": []}),
                "were looked up, for example torch",
            ),
            ("", "pip-audit gave no answer"),
        ],
    )
    def test_without_a_network_the_status_is_two(self, tmp_path: Path, answer: str, part: str) -> None:
        (tmp_path / "pip_audit.py").write_text(f"print({answer!r})\n")
        done = subprocess.run(
            [sys.executable, ROOT / "tools" / "audit.py"],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2 and part in done.stderr and not done.stdout
