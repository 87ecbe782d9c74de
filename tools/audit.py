"""Known vulnerabilities of the packages in `requirements-dev.lock`, by pip-audit.

python tools/audit.py    # exits with 0 for none, 1 for some, 2 if a package could not be looked up

pip-audit passes over packages that it gets no answer for, and exits with 0: without a network it finds
nothing wrong with anything.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "requirements-dev.lock"


def judge(dependencies: list[dict[str, Any]], expected: int) -> tuple[int, list[str]]:
    """Exit status and lines for the packages that pip-audit reports, of so many that it was asked for."""
    lines = [
        f"{package['name']} {package['version']}: {fault['id']}, "
        f"fixed in {', '.join(fault['fix_versions']) or 'no version'}"
        for package in dependencies
        for fault in package.get("vulns", [])
    ]
    looked_up = sum("vulns" in package for package in dependencies)
    skipped = [package for package in dependencies if "vulns" not in package]
    reason = f", for example {skipped[0].get('skip_reason', skipped[0]['name'])}" if skipped else ""
    if looked_up < expected:
        lines.append(f"{looked_up} of {expected} packages were looked up{reason}")
        return 1 if len(lines) > 1 else 2, lines
    return (1, lines) if lines else (0, [f"{looked_up} packages, no known vulnerability"])


def main() -> int:
    """Ask pip-audit, and say what it found or could not find."""
    expected = LOCK.read_text(encoding="utf-8").count(" --hash=")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", LOCK, "--require-hashes", "--disable-pip"),
            *("--format", "json", "--progress-spinner", "off"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"audit: pip-audit gave no answer\n{done.stderr[-2000:]}", file=sys.stderr)
        return 2
    status, lines = judge(dependencies, expected)
    for line in lines:
        print(f"audit: {line}", file=sys.stderr if status else sys.stdout)
    return status


if __name__ == "__main__":
    sys.exit(main())
