"""The text beside the data: each family with its package, licence, side of the split and number of images."""

from collections import Counter
from collections.abc import Sequence

from glyphs.sources import Family

INTRODUCTION = """\
# The fonts of the `glyphs` data set

`glyphs.npz` holds pictures of letters and digits, 28×28 pixels each, and no font software. They were drawn by
`tools/build_glyphs.py` from font packages of Debian 12 (main), which names the licence of each font in
`/usr/share/doc/PACKAGE/copyright`; the table repeats it. All of them are free licences. Of the GPL family
only fonts with a font exception are used. To make the file again, install the packages of
`tools/glyphs-packages.txt`.

{families} families, {images} images: {train_families} families ({train_images} images) for training,
{test_families} families ({test_images} images) for testing. Families that look alike, or whose names begin
with the same word, are on the same side. A glyph that is drawn the same for two characters (l and I of many
sans serifs, O and 0) is left out under both labels, one that two fonts draw the same is there once.

## Attribution

* The families whose names end in BRK are Brian Kent's. He permits anybody to share them, change them and make
  new fonts from them, if changes are noted and the original remains attributed to him (`LicenseRef-Aenigma`).
* Sawarabi Gothic is by mshio (CC BY 3.0). OpenDyslexic is by Abelardo Gonzalez (CC BY 3.0), made from
  Bitstream Vera.
* The PT fonts are by ParaType Ltd. (ParaType Free Font Licensing Agreement), the TeX Gyre fonts by
  B. Jackowski and J. M. Nowacki (GUST Font License, an instance of the LaTeX Project Public License).
* Changes: every glyph was turned into a grey picture, moved and scaled a little.

## Families

| family | Debian package | licence | split | images |
|---|---|---|---|---|
"""


def font_list(families: Sequence[Family], is_test: Sequence[bool], image_families: Sequence[int]) -> str:
    """The whole text; `image_families` has the family id of every image."""
    counts = Counter(image_families)
    sides = ["test" if test else "train" for test in is_test]
    images = Counter(sides[family] for family in image_families)
    text = INTRODUCTION.format(
        families=len(families),
        images=len(image_families),
        train_families=sides.count("train"),
        test_families=sides.count("test"),
        train_images=images["train"],
        test_images=images["test"],
    )
    rows = (
        f"| {family.name} | {family.package.name} | {family.package.licence} | {sides[i]} | {counts[i]} |\n"
        for i, family in enumerate(families)
    )
    return text + "".join(rows)
