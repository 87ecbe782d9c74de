"""What the page shows, which images it offers, where it listens; tests/browser opens the page itself."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ssal.cli import main
from ssal.demo.answer import Answer, find_answer
from ssal.demo.page import agreement, render_answer, render_head, render_refusal, render_samples, style
from ssal.demo.port import HOST, listen
from ssal.demo.samples import Sample, choose, find_samples
from ssal.errors import DataError, InputError, RunError
from ssal.evidence import Evidence, Part, Share
from ssal.run import Predictor, load

from .hostile import NAMES, hostile_run

BAD_INPUT = 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_run(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    return load(run)


class Seen(HTMLParser):
    """What a browser makes of a text: the elements, and the words between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def pictures(self) -> int:
        return sum(name == "src" for name, _ in self.attributes)


def picture(path: Path, mode: str = "L", **options: object) -> Path:
    pixels = np.random.default_rng(4).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)  # type: ignore[arg-type]
    return path


def evidence(predicted: list[tuple[str | None, bool]]) -> Evidence:
    """Evidence of an image of class 3, whose parts are named and agree or not."""
    parts = [
        Part(tap, 0.5, 0, (3,) if agrees else (1,), 0.8, agrees, (-0.1, -0.9), (3,))
        for tap, agrees in predicted
    ]
    return Evidence((3, 1), (-0.4, -1.2), 0.2, tuple(parts), NAMES)


def test_an_answer_is_what_the_predictor_says(predictor: Predictor, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.random.default_rng(5).integers(0, 65536, (30, 20)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    files = [
        tmp_path / "deep.tif",
        picture(tmp_path / "turned.jpg", "RGB", exif=exif),
        picture(tmp_path / "print.jpg", "CMYK"),
        picture(tmp_path / "few.gif", "P"),
        picture(tmp_path / "clear.png", "RGBA"),
    ]
    for file in files:
        answer, expected = find_answer(predictor, file, "x"), predictor.explain(file)
        assert answer.evidence == expected
        assert np.array_equal(answer.pixels, predictor.preprocess.pixels(file))
        assert answer.seconds > 0


def test_a_bad_file_is_named_as_the_user_knows_it(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "upload").write_text("a letter")
    with pytest.raises(
        DataError, match=r"^'notes.png' cannot be read as an image: not in one of the formats"
    ):
        find_answer(predictor, tmp_path / "upload", "notes.png")


def test_the_page_shows_all_of_an_answer(predictor: Predictor, tmp_path: Path) -> None:
    answer = find_answer(predictor, picture(tmp_path / "some.png"), "some.png", truth="cat")
    found, seen = answer.evidence, Seen(render_answer(answer))
    words = " ".join(seen.text.split())
    assert (
        "some.png" in words
        and f"labelled cat {'✓ right' if found.class_name == 'cat' else '✗ wrong'}" in words
    )
    for name, probability in zip(found.names(found.candidates), found.probabilities, strict=True):
        assert probability > 0.0005
        assert name.replace("\u202e", "�").replace("\x1b", "�") in words
        assert f"{100 * probability:.1f} %" in words
    for part in found.parts:
        assert part.name in words and f"{100 * part.probability:.1f} %" in words
        for name in found.names(part.members):
            assert name.replace("\u202e", "�").replace("\x1b", "�") in words
    assert words.count("✓ agrees") == sum(part.agrees for part in found.parts)
    assert words.count("✗ conflicts") == sum(not part.agrees for part in found.parts)
    # The image, and the maps of all parts.
    assert seen.pictures == 5 and words.count("CAM for") == 4 and "no map" not in words


def test_the_rows_of_the_table_add_up(predictor: Predictor, tmp_path: Path) -> None:
    answer = find_answer(predictor, picture(tmp_path / "some.png"), "some.png")
    body, foot = re.findall(r"<t(?:body|foot)>(.*?)</t(?:body|foot)>", render_answer(answer), re.DOTALL)

    def numbers(row: str) -> list[float]:
        cells = [
            re.sub(r"<[^>]*>", "", cell).strip()
            for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)
        ]
        return [float(cell.replace("−", "-")) for cell in cells if cell and "%" not in cell]

    parts = [numbers(row) for row in body.split("</tr>")[:-1]]
    total = numbers(foot.split("</tr>")[0])
    assert [row[0] for row in parts] == [0.9, 0.7, 0.4, 0.0]
    assert len(total) == 6
    for column, value in enumerate(total):
        assert sum(row[column + 1] for row in parts) == pytest.approx(value, abs=0.03)


def test_what_a_fused_branch_has_read_has_rows_of_its_own() -> None:
    plain = evidence([(None, True), ("layer2", True)])
    shares = (Share("layer1", 1, (0.0, 1.1)), Share("bias", None, (0.0, -0.3)))
    counting = replace(plain.parts[1], shares=shares)
    pixels = np.zeros((9, 9, 1), np.uint8)

    def rows(part: Part) -> list[str]:
        found = replace(plain, parts=(plain.parts[0], part))
        return re.findall(
            r"<tr class=.share.>(.*?)</tr>", render_answer(Answer("a.png", found, pixels, 0.1)), re.DOTALL
        )

    first, second = rows(counting)
    assert "from layer1" in first and "<b>1.10</b>" in first and "width: 50.0%" in first
    assert "from bias" in second and "<b>−0.30</b>" in second and "minus" in second
    assert rows(plain.parts[1]) == []


def test_names_stay_text(predictor: Predictor, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>.png"
    answer = find_answer(predictor, picture(tmp_path / "some.png"), hostile, truth=NAMES[3])
    samples = [Sample(np.zeros((8, 8, 1), np.uint8), name) for name in NAMES]
    for html in (
        render_answer(answer),
        render_head(NAMES[0], predictor),
        render_samples(samples),
        render_refusal(f"{hostile!r} cannot be read \x1b[31m \u202e"),
    ):
        seen = Seen(html)
        assert "script" not in seen.tags and "<script>" not in html
        assert not [name for name, _ in seen.attributes if name.startswith("on")]
        assert all(
            value.startswith("data:image/jpeg;base64,") for name, value in seen.attributes if name == "src"
        )
        assert "\u202e" not in html and "\x1b" not in html
    assert hostile in Seen(render_answer(answer)).text


def test_a_part_that_counts_nothing_and_a_tie_can_be_shown() -> None:
    found = evidence([(None, True), ("layer1", False)])
    silent = tuple(replace(part, exponent=0.0, terms=(0.0, 0.0), without=()) for part in found.parts)
    answer = Answer("x", replace(found, parts=silent), np.zeros((4, 4, 3), np.uint8), 0.1)
    page = render_answer(answer)
    assert "0.00" in page and page.count("no map") == 2


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([], "This model has no branches that could agree or disagree."),
        ([("layer1", True)], "The branch agrees: what it predicts is or holds cat."),
        ([("layer1", False)], "0 of 1 branches agree: layer1 predicts a class or group without cat."),
        ([("a", True), ("b", True)], "All 2 branches agree: what each predicts is or holds cat."),
        ([("a", True), ("b", False)], "1 of 2 branches agree: b predicts a class or group without cat."),
        (
            [("a", False), ("b", False), ("c", False), ("d", True)],
            "1 of 4 branches agree: a, b and c predict a class or group without cat.",
        ),
    ],
)
def test_the_sentence_on_agreement(parts: list[tuple[str | None, bool]], sentence: str) -> None:
    found = replace(evidence([(None, True), *parts]), class_names=("a", "b", "c", "cat"))
    assert agreement(found) == sentence


def test_the_style_asks_nobody_for_anything() -> None:
    assert "url(" not in style() and "@import" not in style()


rows = st.lists(st.tuples(*[st.sampled_from("abcde")] * 3, st.integers(0, 2)), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_chosen_rows_are_of_the_four_kinds(table: list[tuple[str, str, str, int]]) -> None:
    target, plain, joint = (np.array([row[column] for row in table]) for column in range(3))
    agreeing = np.array([row[3] for row in table])
    chosen = choose(target, plain, joint, agreeing)
    assert len({target[row] for row in chosen}) == len(chosen) <= 8
    assert chosen == choose(target, plain, joint, agreeing)

    def kind(row: int) -> int:
        if joint[row] != target[row]:
            return 3
        if plain[row] != target[row]:
            return 0
        return 1 if agreeing[row] == agreeing.max() else 2

    kinds = [kind(row) for row in chosen]
    assert kinds == sorted(kinds) and max(map(kinds.count, range(4))) <= 2
    # A kind is missing only where every class of it has been taken.
    for number in set(range(4)) - set(kinds):
        of_kind = {target[row] for row in range(len(table)) if kind(row) == number}
        assert of_kind <= {target[row] for row in chosen}


def test_samples_come_from_the_test_data(run: Path, predictor: Predictor) -> None:
    samples = find_samples(run, predictor)
    assert sorted(sample.truth for sample in samples) == sorted(NAMES[:3])
    for sample in samples:
        files = sorted((run.parent / "data" / "test" / sample.truth).iterdir())
        assert sample.pixels.shape == (20, 24, 1)
        assert any(np.array_equal(sample.pixels[:, :, 0], np.asarray(Image.open(file))) for file in files)


def test_samples_of_changed_data_are_left_out(predictor: Predictor, tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    for number in range(3, 12):
        picture(tmp_path / "data" / "test" / sorted(NAMES[:3])[0] / f"{number}.png")
    truths = [sample.truth for sample in find_samples(run, predictor)]
    assert truths == [sorted(NAMES[:3])[0]]


def test_a_run_without_predictions_has_no_samples(run: Path, predictor: Predictor) -> None:
    with pytest.raises(RunError, match="no predictions of test images"):
        find_samples(run / "model", predictor)


def test_samples_are_not_fetched_from_the_network(predictor: Predictor, tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    (run / "config.yaml").write_text("data: hf:somebody/something\n")
    with pytest.raises(DataError, match="in the network"):
        find_samples(run, predictor)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_port_is_open_to_this_computer_only() -> None:
    with listen(0) as listener:
        host, port = listener.getsockname()
        assert host == "127.0.0.1" and port > 0
        with socket.create_connection((host, port), timeout=5):
            pass


def test_a_taken_port_is_refused_and_a_free_one_named(taken: int) -> None:
    with pytest.raises(InputError) as error:
        listen(taken)
    found = re.fullmatch(rf"cannot listen on port {taken}: .*in use; free is --port (\d+)", str(error.value))
    assert found is not None
    with listen(int(found[1])):
        pass


def test_without_a_port_the_next_free_one_is_used(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssal.demo.port.DEFAULT_PORT", taken)
    with listen(None) as listener:
        assert taken < listener.getsockname()[1] < taken + 50
    monkeypatch.setattr("ssal.demo.port._TRIED", 1)
    with pytest.raises(InputError, match="all taken; name another with --port"):
        listen(None)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(InputError, match="from 0 to 65535"):
        listen(port)


def ssal(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ssal", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_without_gradio_one_line_says_how_to_get_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert ssal(monkeypatch, "demo", run, "--port", 0) == BAD_INPUT
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert "pip install 'ssal[demo]'" in err


def test_a_taken_port_and_a_missing_run_are_one_line(
    taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, words in (
        ((tmp_path / "nowhere", "--port", 0), "no run directory at"),
        ((tmp_path, "--port", taken), f"cannot listen on port {taken}"),
    ):
        assert ssal(monkeypatch, "demo", *arguments) == BAD_INPUT
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("ssal: ") and words in err and len(err.splitlines()) == 1


def test_the_command_line_starts_without_gradio() -> None:
    code = "import sys, ssal.cli; print(sorted({'gradio', 'torch', 'ssal.demo'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
