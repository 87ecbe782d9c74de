"""The fuzzers, for a few seconds in each test run and for ten minutes as `slow`.

FUZZ_SECONDS=20 python -m pytest -m slow tests/faults/test_fuzz.py
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Shares of the time: most of the code that reads files is that of runs.
SHARES = {"fuzz_runs": 0.8, "fuzz_groupings": 0.2}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="needs the package atheris"
)


def fuzz(name: str, folder: Path, *options: str) -> int:
    """Run a fuzzer, and return how many inputs it tried; any error but an `SsalError` fails the test."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.faults.fuzz.{name}", *options, f"-artifact_prefix={folder}/"],
        cwd=ROOT,
        # Its stand-ins for files and its own prints go to a folder that is thrown away.
        env=os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    found = {path.name: path.read_bytes().hex() for path in folder.iterdir() if path.is_file()}
    assert done.returncode == 0 and not found, f"{found}\n{done.stderr[-6000:]}"
    counts = [
        line.split()[1]
        for line in done.stderr.splitlines()
        if line.startswith("stat::number_of_executed_units")
    ]
    return int(counts[-1])


OPTIONS = ("-print_final_stats=1", "-len_control=0", "-max_len=256", "-rss_limit_mb=3000", "-timeout=60")


@pytest.mark.parametrize("name", SHARES)
def test_the_fuzzer_finds_nothing_in_two_seconds(tmp_path: Path, name: str) -> None:
    tried = fuzz(name, tmp_path, "-max_total_time=2", "-seed=1", *OPTIONS)
    print(f"{name}: {tried:,} inputs in 2 seconds, no crash")
    assert tried > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARES)
def test_the_fuzzer_finds_nothing_in_ten_minutes(tmp_path: Path, name: str) -> None:
    seconds = SHARES[name] * float(os.environ.get("FUZZ_SECONDS", "600"))
    tried = fuzz(name, tmp_path, f"-max_total_time={max(1, round(seconds))}", *OPTIONS)
    print(f"{name}: {tried:,} inputs in {seconds:.0f} seconds, no crash")
