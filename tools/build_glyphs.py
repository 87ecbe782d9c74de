"""Render the data set `glyphs` from the fonts of Debian packages, bit for bit the same on every run.

apt-get install --no-install-recommends $(awk '!/^#/ {print $1"="$2}' tools/glyphs-packages.txt)
python tools/build_glyphs.py            # writes src/ssal/data/glyphs.npz and GLYPHS-FONTS.md
python tools/build_glyphs.py --check    # builds, writes nothing, and exits with 1 if the shipped files differ
python tools/build_glyphs.py --sheet glyphs.png    # also draws ten random images of each class
"""

import argparse
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from glyphs import render
from glyphs.fontlist import font_list
from glyphs.laws import fault, similarity
from glyphs.packing import metadata, npz_bytes
from glyphs.sources import FONTS, BuildError, Family, check_packages, check_renderer, read_families
from glyphs.splitting import choose_test, keep_distinct, kin_groups
from numpy.typing import NDArray
from PIL import Image

TOOLS = Path(__file__).resolve().parent
DATA = TOOLS.parent / "src" / "ssal" / "data"
NPZ, LIST = DATA / "glyphs.npz", DATA / "GLYPHS-FONTS.md"


@dataclass(frozen=True)
class Drawn:
    """The styles of one family, undisturbed and with shift and size; each [62, 28, 28]."""

    canonical: list[render.Pixels]
    jittered: list[render.Pixels]


def draw_family(family: Family) -> Drawn:
    """Render all styles of a family, or say which law it breaks."""
    drawn = Drawn([], [])
    for file in family.files:
        path = FONTS / file
        if not render.has_all_characters(path):
            raise BuildError(f"{family.name}: {file} does not draw all of {render.CHARACTERS}")
        style = render.open_style(path)
        plain = render.canonical(style)
        if reason := fault(plain, style.shrink):
            raise BuildError(f"{family.name}: {file}: {reason}")
        drawn.canonical.append(plain)
        drawn.jittered.append(render.jittered(style, f"{family.name}/{path.name}"))
    return drawn


def kin_of(families: list[Family], drawn: list[Drawn]) -> NDArray[np.bool_]:
    """Which families look alike [F, F]; two that are the same design are an error."""
    found = similarity([d.canonical for d in drawn])
    twins = np.argwhere(np.triu(found.same_design(), 1))
    if len(twins):
        pairs = (f"{families[a].name} = {families[b].name}" for a, b in twins)
        raise BuildError(f"the same design under two names: {'; '.join(pairs)}")
    return found.kin()


def build(families: list[Family]) -> tuple[bytes, str]:
    """Return the bytes of glyphs.npz and the text of GLYPHS-FONTS.md."""
    drawn, faults = [], []
    for family in families:
        try:
            drawn.append(draw_family(family))
        except BuildError as error:
            faults.append(str(error))
    if faults:
        raise BuildError("\n".join(faults))
    is_test = choose_test(kin_groups([family.name for family in families], kin_of(families, drawn)))

    owner = [i for i, d in enumerate(drawn) for _ in d.canonical]
    pictures = [glyphs for d in drawn for glyphs in d.jittered]
    keep = keep_distinct([glyphs for d in drawn for glyphs in d.canonical], pictures)
    labels = np.concatenate([np.flatnonzero(kept) for kept in keep]).astype(np.uint8)
    family_ids = np.repeat(owner, [int(kept.sum()) for kept in keep]).astype(np.uint16)
    levels = np.concatenate([glyphs[kept] for glyphs, kept in zip(pictures, keep, strict=True)])

    by_class = np.argsort(labels, kind="stable")  # neighbours that look alike pack better
    arrays: dict[str, NDArray[Any]] = {
        "images": (levels * np.uint8(255 // render.LEVELS))[by_class],
        "labels": labels[by_class],
        "family_ids": family_ids[by_class],
        "family_names": np.array([family.name for family in families]),
        "family_is_test": is_test,
        "class_names": np.array(list(render.CHARACTERS)),
        "metadata": np.array(metadata()),
    }
    return npz_bytes(arrays), font_list(families, is_test.tolist(), arrays["family_ids"].tolist())


def compare(npz: bytes, text: str) -> list[str]:
    """Say in which way the shipped files differ from the built ones."""
    differences: list[str] = []
    if not NPZ.is_file() or NPZ.read_bytes() != npz:
        differences.append(f"{NPZ.name} differs")
        if NPZ.is_file():
            old, new = np.load(NPZ), np.load(io.BytesIO(npz))
            changed = [n for n in new.files if n not in old.files or not np.array_equal(old[n], new[n])]
            differences.append(
                f"  arrays that differ: {', '.join(changed) or 'none, only the compressor does'}"
            )
    if not LIST.is_file() or LIST.read_text("utf-8") != text:
        differences.append(f"{LIST.name} differs")
    return differences


def contact_sheet(npz: bytes, path: Path, columns: int = 10) -> None:
    """Draw random images of each class, `columns` a class, in two blocks side by side."""
    data = np.load(io.BytesIO(npz))
    images, labels = data["images"], data["labels"]
    generator = np.random.default_rng(0)
    rows = [
        np.hstack(list(images[generator.choice(np.flatnonzero(labels == c), columns)])) for c in range(62)
    ]
    Image.fromarray(np.hstack([np.vstack(rows[:31]), np.vstack(rows[31:])])).save(path)


def main() -> int:
    """Build, then write or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if the shipped files differ"
    )
    parser.add_argument("--sheet", type=Path, help="also write a picture with random images of each class")
    arguments = parser.parse_args()
    try:
        check_renderer()
        families = read_families(TOOLS / "glyphs-packages.txt", TOOLS / "glyphs-families.txt")
        check_packages(families)
        npz, text = build(families)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.sheet:
        contact_sheet(npz, arguments.sheet)
    if arguments.check:
        differences = compare(npz, text)
        print("\n".join(differences) or "the shipped files are what these fonts give, bit for bit")
        return 1 if differences else 0
    NPZ.write_bytes(npz)
    LIST.write_text(text, "utf-8")
    print(f"{NPZ}: {len(npz):,} bytes\n{LIST}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
