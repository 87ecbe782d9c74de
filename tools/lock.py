"""Pin what the tests run with, to the digest of each file: `requirements-dev.lock`.

python tools/lock.py              # after a change of pyproject.toml; versions that are pinned stay
python tools/lock.py --upgrade    # the newest versions that fit together
python tools/lock.py --fits       # exits with 1 where the files of the lock cannot be installed

pip itself resolves and tells the digests of the files that it would install, so the lock holds for one
version of Python on one platform. Its versions alone, without digests, serve as constraints elsewhere.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-dev.lock"
PLACE = ("3.11", "Linux", "x86_64")
HEADER = f"""\
# Made by `make lock` for Python {PLACE[0]} on {PLACE[1]} {PLACE[2]}: one file each, and its digest.
"""


class LockError(Exception):
    """pip found no set of versions, or a file without a digest."""


def here() -> tuple[str, str, str]:
    """Python's version, the system and the processor that this runs on."""
    return (".".join(platform.python_version_tuple()[:2]), platform.system(), platform.machine())


def wanted(project: Path = ROOT / "pyproject.toml") -> list[str]:
    """Requirements of the package, of its development, and of its build."""
    content = tomllib.loads(project.read_text(encoding="utf-8"))
    table = content["project"]
    return [
        *content["build-system"]["requires"],
        *table["dependencies"],
        *table["optional-dependencies"]["dev"],
    ]


def versions(lock: str) -> list[str]:
    """The pins of a lock without their digests; as constraints, digests would ask pip for all of them."""
    return re.findall(r"^(\S+==\S+) --hash=", lock, flags=re.MULTILINE)


def resolve(requirements: list[str], constraints: list[str]) -> list[str]:
    """One line each for the files that pip would install into an empty environment.

    Raises:
        LockError: the requirements and constraints contradict each other, or a file has no SHA-256.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, lines in (("wanted.txt", requirements), ("pins.txt", constraints)):
            (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
                *("--requirement", folder / "wanted.txt", "--constraint", folder / "pins.txt"),
                *("--report", folder / "report.json"),
            ],
            check=False,
        )
        if done.returncode:
            raise LockError("pip finds no versions that fit together; --upgrade lets go of the present ones")
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return sorted((_pin(item) for item in report["install"]), key=str.lower)


def _pin(item: dict[str, dict[str, str | dict[str, dict[str, str]]]]) -> str:
    name, version = item["metadata"]["name"], item["metadata"]["version"]
    archive = item["download_info"].get("archive_info", {})
    digest = archive.get("hashes", {}).get("sha256") if isinstance(archive, dict) else None
    if not digest:
        raise LockError(f"{name} {version} has no SHA-256")
    return f"{name}=={version} --hash=sha256:{digest}"


def main() -> int:
    """Write the lock, or say why not."""
    parser = argparse.ArgumentParser(description="Pin what the tests run with.")
    parser.add_argument("--upgrade", action="store_true", help="let go of the present versions")
    parser.add_argument("--fits", action="store_true", help="only tell whether the lock is for this place")
    options = parser.parse_args()
    if options.fits:
        return int(here() != PLACE)
    if here() != PLACE:
        print(f"lock: made on {' '.join(PLACE)} only; this is {' '.join(here())}", file=sys.stderr)
        return 2
    old = LOCK.read_text(encoding="utf-8") if LOCK.exists() and not options.upgrade else ""
    try:
        pins = resolve(wanted(), versions(old))
    except LockError as error:
        print(f"lock: {error}", file=sys.stderr)
        return 2
    LOCK.write_text(HEADER + "\n".join(pins) + "\n", encoding="utf-8")
    print(f"{LOCK.name}: {len(pins)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
