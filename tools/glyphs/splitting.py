"""Divide families into train and test, kin together; drop glyphs that have two labels or a copy."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from glyphs.render import SEED, Pixels

TEST_SHARE = 0.25

# Relatives by history that the pixels alone place just below the limit.
KNOWN_KIN = (
    ("Liberation Serif", "TeX Gyre Termes"),  # both after Times
    ("Dai Banna SIL", "TeX Gyre Termes"),
    ("Liberation Sans", "TeX Gyre Heros"),  # both after the same grotesques
    ("Liberation Mono", "TeX Gyre Cursor"),  # both after Courier
    ("Courier Prime", "TeX Gyre Cursor"),
    ("D2Coding", "Nanum Gothic Coding"),  # one vendor's coding fonts, one made from the other
    ("Eurofurence", "Monofur"),  # monofur is its fixed-width form
    ("Elstob", "Junicode"),  # one author, both after the Oxford types
)


def kin_groups(names: list[str], look_alike: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Group id [F]: kin look alike, have the same first word in their names, or are in `KNOWN_KIN`."""
    group = np.arange(len(names))
    first_word = np.array([name.split()[0].casefold() for name in names])
    linked = look_alike | (first_word[:, None] == first_word[None, :])
    for a, b in KNOWN_KIN:
        linked[names.index(a), names.index(b)] = linked[names.index(b), names.index(a)] = True
    for a, b in np.argwhere(np.triu(linked, 1)):
        group[group == group[b]] = group[a]
    return group


def choose_test(groups: NDArray[np.int64], share: float = TEST_SHARE) -> NDArray[np.bool_]:
    """Mark whole groups as test, in a seeded order, as long as they fit into `share` of the families."""
    wanted = round(share * len(groups))
    sizes = Counter(groups.tolist())
    draws = np.random.PCG64(SEED).random_raw(len(groups))
    test = np.zeros(len(groups), np.bool_)
    for group in sorted(sizes, key=lambda g: int(draws[g])):
        if test.sum() + sizes[group] <= wanted:
            test |= groups == group
    return test


def keep_distinct(canonical: list[Pixels], drawn: list[Pixels]) -> list[NDArray[np.bool_]]:
    """Mark per style which of its 62 images stay.

    A bitmap that one font or two fonts draw for two characters (l and I of many sans serifs, O and 0) has no
    right answer: all images of it go, under either label. A bitmap drawn twice for the same character stays
    once. Both hold for the undisturbed glyphs, and again for the images with shift and size.
    """
    keep = [np.ones(len(glyphs), np.bool_) for glyphs in canonical]
    for pictures in (canonical, drawn):
        labels: dict[bytes, set[int]] = {}
        for style, glyphs in enumerate(pictures):
            for label in np.flatnonzero(keep[style]):
                labels.setdefault(glyphs[label].tobytes(), set()).add(int(label))
        seen: set[bytes] = set()
        for style, glyphs in enumerate(pictures):
            for label in np.flatnonzero(keep[style]):
                picture = glyphs[label].tobytes()
                if picture in seen or len(labels[picture]) > 1:
                    keep[style][label] = False
                seen.add(picture)
    return keep
