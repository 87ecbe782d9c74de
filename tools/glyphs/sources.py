"""Read the lists of packages and families, and check that this machine has them and the right renderer."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from PIL import __version__ as pillow_version
from PIL import features

FONTS = Path("/usr/share")
PILLOW = "13.0.0"
FREETYPE = "2.14.3"


class BuildError(Exception):
    """The data set cannot be built here, or not from these lists."""


@dataclass(frozen=True)
class Package:
    """A Debian package at one version, with the licence of its font files."""

    name: str
    version: str
    licence: str


@dataclass(frozen=True)
class Family:
    """A font family with the one or two font files (styles) that are rendered."""

    name: str
    package: Package
    files: tuple[str, ...]


def _rows(path: Path, fewest: int, most: int) -> list[list[str]]:
    lines = path.read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    for row in rows:
        if not fewest <= len(row) <= most:
            raise BuildError(f"{path.name}: a line has {len(row)} columns, not {fewest} to {most}: {row}")
    names = [row[0] for row in rows]
    if len(set(names)) < len(names):
        raise BuildError(
            f"{path.name}: a name stands twice: {sorted({n for n in names if names.count(n) > 1})}"
        )
    return rows


def read_families(packages_file: Path, families_file: Path) -> list[Family]:
    """Read both lists; every family has a listed package and every listed package a family."""
    packages = {row[0]: Package(*row) for row in _rows(packages_file, 3, 3)}
    rows = _rows(families_file, 3, 4)
    unknown = {row[1] for row in rows} - packages.keys()
    unused = packages.keys() - {row[1] for row in rows}
    if unknown or unused:
        raise BuildError(
            f"packages without a line: {sorted(unknown)}; packages without a family: {sorted(unused)}"
        )
    return [Family(row[0], packages[row[1]], tuple(row[2:])) for row in rows]


def check_renderer() -> None:
    """Refuse another Pillow or FreeType: a changed rasteriser changes pixels."""
    found = {"Pillow": pillow_version, "FreeType": features.version_module("freetype2")}
    wanted = {"Pillow": PILLOW, "FreeType": FREETYPE}
    if found != wanted:
        raise BuildError(
            f"the renderer is {found}, the data set needs {wanted}: pip install Pillow=={PILLOW}"
        )


def _dpkg(*arguments: str) -> str:
    return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=False).stdout


def check_packages(families: list[Family]) -> None:
    """Refuse other versions of the packages than the listed ones, and files that are not of their package."""
    packages = sorted({family.package for family in families}, key=lambda package: package.name)
    answer = _dpkg("-W", "-f", "${Package}\t${Version}\t${db:Status-Status}\n", *(p.name for p in packages))
    found = [line.split("\t") for line in answer.splitlines()]
    installed = {name: version for name, version, status in found if status == "installed"}
    wrong = [p for p in packages if installed.get(p.name) != p.version]
    if wrong:
        wanted = " ".join(f"{p.name}={p.version}" for p in wrong)
        raise BuildError(f"{len(wrong)} packages are missing or of another version: apt-get install {wanted}")
    owned = {package.name: set(_dpkg("-L", package.name).splitlines()) for package in packages}
    strays = [
        f"{x} ({f.name})" for f in families for x in f.files if str(FONTS / x) not in owned[f.package.name]
    ]
    if strays:
        raise BuildError(f"font files that are not in the package of their family: {', '.join(strays)}")
