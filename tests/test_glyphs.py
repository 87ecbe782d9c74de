"""The laws of the shipped data set and of the steps that make it; no test needs the fonts."""

import dataclasses
import importlib
import io
import json
import re
import zipfile
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from ssal.data.glyphs import GlyphArrays, load_glyphs
from ssal.errors import InputError

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOOLS = Path(__file__).resolve().parents[1] / "tools"
NPZ = files("ssal.data").joinpath("glyphs.npz")
FONT_ROW = re.compile(
    r"\| (?P<name>[^|]+) \| (?P<package>fonts-[a-z0-9-]+) \| (?P<licence>[^|]+)"
    r" \| (?P<part>train|test) \| (?P<n>\d+) \|"
)


@pytest.fixture(scope="module")
def data() -> GlyphArrays:
    return load_glyphs()


@pytest.fixture(scope="module")
def font_rows() -> list[re.Match[str]]:
    text = files("ssal.data").joinpath("GLYPHS-FONTS.md").read_text("utf-8")
    return [row for line in text.splitlines() if (row := FONT_ROW.fullmatch(line))]


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the builder by its name."""
    monkeypatch.syspath_prepend(str(TOOLS))
    return lambda name: importlib.import_module(f"glyphs.{name}")


def listed(name: str) -> list[list[str]]:
    lines = (TOOLS / name).read_text("utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def ink_heights(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    rows: NDArray[np.bool_] = np.any(images > 60, axis=2)
    return rows.shape[1] - rows[:, ::-1].argmax(1) - rows.argmax(1)


class TestArrays:
    def test_shapes_and_types(self, data: GlyphArrays) -> None:
        n = len(data.images)
        assert data.images.shape == (n, 28, 28)
        assert data.labels.shape == data.family_ids.shape == data.is_test.shape == (n,)
        types = [a.dtype for a in (data.images, data.labels, data.family_ids, data.is_test)]
        assert types == [np.uint8, np.int64, np.int64, np.bool_]

    def test_class_names_are_the_62_characters_in_order(self, data: GlyphArrays) -> None:
        assert "".join(data.class_names) == CHARACTERS
        assert set(data.labels.tolist()) == set(range(62))

    def test_every_family_is_used(self, data: GlyphArrays) -> None:
        assert len(set(data.family_names)) == len(data.family_names)
        assert set(data.family_ids.tolist()) == set(range(len(data.family_names)))

    def test_sixteen_levels_white_on_black(self, data: GlyphArrays) -> None:
        assert not (data.images % 17).any()
        assert (data.images.mean((1, 2)) < 128).all()
        corners = data.images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.max() < 128

    def test_no_image_is_blank_or_nearly(self, data: GlyphArrays) -> None:
        assert data.images.max((1, 2)).min() >= 6 * 17
        assert data.images.sum((1, 2), dtype=np.int64).min() >= 6 * 255

    def test_no_image_stands_twice(self, data: GlyphArrays) -> None:
        assert len({image.tobytes() for image in data.images}) == len(data.images)

    def test_images_of_one_glyph_are_not_normalised_to_one_size(self, data: GlyphArrays) -> None:
        """Capitals are higher than lower case on average, but not always."""
        heights = ink_heights(data.images)
        big, small = (heights[data.labels == CHARACTERS.index(c)] for c in "Oo")
        assert big.mean() > 1.2 * small.mean()
        assert (small > np.quantile(big, 0.1)).mean() > 0.02

    def test_arrays_are_shared_and_cannot_be_changed(self, data: GlyphArrays) -> None:
        assert load_glyphs() is data
        with pytest.raises(ValueError, match="read-only"):
            data.images[0, 0, 0] = 1
        with pytest.raises(dataclasses.FrozenInstanceError):
            data.class_names = ()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


class TestSplit:
    def test_counts(self, data: GlyphArrays) -> None:
        test = int(data.is_test.sum())
        assert 12_000 <= len(data.is_test) - test <= 16_000
        assert 3_500 <= test <= 5_000

    def test_no_family_is_in_both_parts(self, data: GlyphArrays) -> None:
        train, test = (set(data.family_ids[chosen].tolist()) for chosen in (~data.is_test, data.is_test))
        assert not train & test
        assert len(train | test) >= 180
        assert len(test) >= 45
        assert 0.2 <= len(test) / len(train | test) <= 0.3

    def test_namesakes_are_on_one_side(self, data: GlyphArrays) -> None:
        sides: dict[str, set[bool]] = {}
        for family, name in enumerate(data.family_names):
            first = name.split()[0].casefold()
            sides.setdefault(first, set()).update(data.is_test[data.family_ids == family].tolist())
        assert [word for word, side in sides.items() if len(side) > 1] == []

    @pytest.mark.parametrize("name", ["train", "test"])
    def test_classes_are_balanced(self, data: GlyphArrays, name: str) -> None:
        """Look-alikes (0 O, 1 I l) lose the glyphs that a font draws the same; no class loses a fifth."""
        counts = np.bincount(data.part(name)[1], minlength=62)
        assert counts.min() >= 0.8 * counts.max()

    def test_parts_are_the_whole(self, data: GlyphArrays) -> None:
        parts = [data.part(name) for name in ("train", "test")]
        assert sum(len(labels) for _, labels in parts) == len(data.labels)
        for (images, labels), chosen in zip(parts, (~data.is_test, data.is_test), strict=True):
            np.testing.assert_array_equal(images, data.images[chosen])
            np.testing.assert_array_equal(labels, data.labels[chosen])
            assert images.flags.writeable

    def test_unknown_part(self, data: GlyphArrays) -> None:
        with pytest.raises(
            InputError, match=r"unknown part of glyphs 'tset'; did you mean 'test'.*train, test"
        ):
            data.part("tset")

    def test_unseen_families_are_learnable_and_hard(self, data: GlyphArrays) -> None:
        """Nearest neighbours on coarse pixels: far above chance (1.6 %), far from solved."""
        coarse = (
            data.images.reshape(-1, 14, 2, 14, 2).mean((2, 4), dtype=np.float32).reshape(len(data.images), -1)
        )
        train, test = np.flatnonzero(~data.is_test)[::3], np.flatnonzero(data.is_test)[::3]
        nearest = KNeighborsClassifier(1, algorithm="brute").fit(coarse[train], data.labels[train])
        assert 0.35 < nearest.score(coarse[test], data.labels[test]) < 0.85


class TestFile:
    def test_size(self) -> None:
        assert len(NPZ.read_bytes()) <= 4 * 2**20

    def test_two_lines_of_numpy_read_it(self, data: GlyphArrays) -> None:
        arrays = np.load(io.BytesIO(NPZ.read_bytes()), allow_pickle=False)
        np.testing.assert_array_equal(arrays["images"], data.images)

    def test_no_entry_has_a_date(self) -> None:
        with zipfile.ZipFile(io.BytesIO(NPZ.read_bytes())) as archive:
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}

    def test_metadata_are_those_of_the_builder(self, step: Any) -> None:
        arrays = np.load(io.BytesIO(NPZ.read_bytes()), allow_pickle=False)
        assert str(arrays["metadata"]) == step("packing").metadata()
        assert json.loads(str(arrays["metadata"])).keys() >= {"pillow", "freetype", "seed"}


class TestFonts:
    def test_every_family_is_named_with_its_part_and_its_images(
        self, data: GlyphArrays, font_rows: list[re.Match[str]]
    ) -> None:
        images = Counter(data.family_ids.tolist())
        test = set(data.family_ids[data.is_test].tolist())
        found = [(row["name"], row["part"], int(row["n"])) for row in font_rows]
        assert found == [
            (name, "test" if family in test else "train", images[family])
            for family, name in enumerate(data.family_names)
        ]

    def test_every_licence_is_free_and_says_nothing_about_pictures(
        self, font_rows: list[re.Match[str]]
    ) -> None:
        free = ("OFL-1.", "MIT", "BSD-3-Clause", "Apache-2.0", "Artistic-1.0", "Bitstream-Vera", "CC0-1.0")
        free += ("CC-BY-3.0", "Unlicense", "IPA", "LicenseRef-Public-Domain", "LicenseRef-GUST-Font-License")
        free += ("LicenseRef-ParaType-Free-Font", "LicenseRef-Aenigma")
        for row in font_rows:
            choices = row["licence"].split(" OR ")
            assert any("WITH Font-exception" in c or c.startswith(free) for c in choices), row["name"]

    def test_the_list_is_that_of_the_builder(self, data: GlyphArrays, font_rows: list[re.Match[str]]) -> None:
        packages = {row[0]: row[2] for row in listed("glyphs-packages.txt")}
        families = {row[0]: row[1] for row in listed("glyphs-families.txt")}
        assert tuple(families) == data.family_names
        assert {row["package"] for row in font_rows} == packages.keys()
        for row in font_rows:
            assert families[row["name"]] == row["package"]
            assert packages[row["package"]] == row["licence"]


class TestBuilder:
    def test_a_glyph_with_two_labels_goes_and_one_drawn_twice_stays_once(self, step: Any) -> None:
        glyphs = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2)
        first, second = glyphs.copy(), glyphs.copy() + 100
        first[1] = first[0]  # one picture, two labels
        second[2] = first[2]  # the same character drawn twice
        jittered = [first + 10, second + 20]
        keep = step("splitting").keep_distinct([first, second], jittered)
        assert [kept.tolist() for kept in keep] == [[False, False, True], [True, True, False]]

    def test_pictures_that_shift_makes_equal_go_too(self, step: Any) -> None:
        plain = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
        keep = step("splitting").keep_distinct([plain], [np.zeros_like(plain)])
        assert keep[0].tolist() == [False, False]

    def test_kinship_is_transitive_and_goes_by_look_and_first_word(
        self, step: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        splitting = step("splitting")
        monkeypatch.setattr(splitting, "KNOWN_KIN", (("Echo", "Foxtrot"),))
        names = ["Alfa One", "Bravo", "Charlie", "alfa Two", "Echo", "Foxtrot"]
        look = np.eye(6, dtype=bool)
        look[1, 2] = look[2, 1] = look[2, 3] = look[3, 2] = True
        groups = splitting.kin_groups(names, look)
        assert len(set(groups[:4].tolist())) == 1
        assert groups[4] == groups[5] != groups[0]

    @pytest.mark.parametrize("sizes", [[1] * 40, [20, *[1] * 20], [3] * 13 + [1]])
    def test_whole_groups_are_drawn_up_to_the_share(self, step: Any, sizes: list[int]) -> None:
        groups = np.repeat(np.arange(len(sizes)), sizes)
        test = step("splitting").choose_test(groups, 0.25)
        assert 0.2 * len(groups) <= test.sum() <= 0.25 * len(groups)
        assert all(len(set(test[groups == g].tolist())) == 1 for g in range(len(sizes)))
        np.testing.assert_array_equal(test, step("splitting").choose_test(groups, 0.25))

    def test_small_capitals_are_found(self, step: Any, data: GlyphArrays) -> None:
        """Images of one family, with the capitals at two thirds of their size as lower case."""
        laws = step("laws")
        family = data.family_names.index("Lato")
        chosen = data.family_ids == family
        glyphs = np.zeros((62, 28, 28), np.uint8)
        glyphs[data.labels[chosen]] = data.images[chosen] // 17
        glyphs[glyphs.sum((1, 2)) == 0, 10:20, 14] = 15
        assert laws.fault(glyphs, 1.0) is None
        assert "lower case" not in (laws.fault(glyphs, 1.5) or "") and "small" in laws.fault(glyphs, 1.5)
        capitals = glyphs[10:36].copy()
        shrunk = np.zeros_like(capitals)
        rows = np.arange(19) * 28 // 19
        shrunk[:, 4:23, 4:23] = capitals[:, rows][:, :, rows]
        glyphs[36:] = shrunk
        assert "drawn as capitals" in laws.fault(glyphs, 1.0)

    def test_a_family_is_its_own_twin_and_no_other_ones(self, step: Any, data: GlyphArrays) -> None:
        laws = step("laws")
        styles = []
        for name in ("Lato", "Caslon"):
            chosen = data.family_ids == data.family_names.index(name)
            glyphs = np.zeros((62, 28, 28), np.uint8)
            glyphs[:, 10:20, 14] = 15
            glyphs[data.labels[chosen]] = data.images[chosen] // 17
            styles.append([glyphs])
        found = laws.similarity([styles[0], styles[1], styles[0]])
        assert found.same_design().tolist() == [
            [True, False, True],
            [False, True, False],
            [True, False, True],
        ]
        assert not found.kin()[0, 1]

    def test_packing_gives_the_same_bytes_and_the_same_arrays(self, step: Any) -> None:
        arrays = {"b": np.arange(6).reshape(2, 3), "a": np.array("text")}
        packed = [step("packing").npz_bytes(arrays) for _ in range(2)]
        assert packed[0] == packed[1]
        unpacked = np.load(io.BytesIO(packed[0]), allow_pickle=False)
        assert unpacked.files == ["b", "a"]
        np.testing.assert_array_equal(unpacked["b"], arrays["b"])
        assert unpacked["a"].shape == ()

    def test_a_list_with_a_stray_package_is_refused(self, step: Any, tmp_path: Path) -> None:
        sources = step("sources")
        packages, families = tmp_path / "packages.txt", tmp_path / "families.txt"
        packages.write_text("# head\nfonts-a\t1\tMIT\nfonts-b\t1\tMIT\n")
        families.write_text("Alfa\tfonts-a\tfonts/a.ttf\nCharlie\tfonts-c\tfonts/c.ttf\n")
        with pytest.raises(
            sources.BuildError, match=r"without a line: \['fonts-c'\].*without a family: \['fonts-b'\]"
        ):
            sources.read_families(packages, families)
        families.write_text("Alfa\tfonts-a\tfonts/a.ttf\nBravo\tfonts-b\tfonts/b.ttf\tfonts/bold.ttf\n")
        read = sources.read_families(packages, families)
        assert [(f.name, f.package.licence, len(f.files)) for f in read] == [
            ("Alfa", "MIT", 1),
            ("Bravo", "MIT", 2),
        ]

    def test_another_rasteriser_is_refused(self, step: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        sources = step("sources")
        monkeypatch.setattr(sources, "pillow_version", "1.0")
        with pytest.raises(sources.BuildError, match=f"Pillow=={sources.PILLOW}"):
            sources.check_renderer()
