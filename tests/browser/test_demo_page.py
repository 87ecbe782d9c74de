"""`ssal demo` in its own process, used through a real browser."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ..hostile import NAMES, hostile_run
from .conftest import Visit, Visitor

# Not imported here: what it imports warns, and takes seconds.
pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="needs gradio")

# Every connection that the process tries to make, and every name that it looks up, is told on standard error.
WATCHED = """
import sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        print("NETWORK", event, arguments[-1], file=sys.stderr, flush=True)
sys.addaudithook(watch)
from ssal.cli import main
main()
"""
PATIENCE = 20_000
TOO_LARGE = 33 * 2**20


@dataclass(frozen=True)
class Server:
    """The running demo."""

    process: subprocess.Popen[str]
    address: str
    temporary: Path
    said: list[str]

    def files(self) -> list[Path]:
        """Temporary files that hold something."""
        return [file for file in self.temporary.rglob("*") if file.is_file() and file.stat().st_size]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    temporary = folder / "tmp"
    temporary.mkdir()
    run = hostile_run(folder)
    errors = folder / "errors"
    with (
        errors.open("w") as stream,
        subprocess.Popen(
            [sys.executable, "-c", WATCHED, "demo", str(run), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env=os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
        ) as process,
    ):
        said: list[str] = []
        for line in process.stdout or ():
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield Server(process, found[0], temporary, said)
                break
        process.kill()
    assert "http" in "".join(said), errors.read_text()


@pytest.fixture
def opened(server: Server, visit: Visitor) -> Iterator[Visit]:
    """The page at the width of a desktop; at the end, nothing that it should not have done."""
    seen = visit(server.address)
    seen.page.wait_for_selector(".ssal-answer", timeout=PATIENCE)
    yield seen
    assert seen.dialogs == [] and seen.errors == [] and seen.foreign == []
    assert (
        seen.page.evaluate("document.querySelectorAll('.gradio-container [onerror], #answer script').length")
        == 0
    )


def upload(page: Any, file: Path | dict[str, Any]) -> None:
    page.set_input_files("#drop input[type=file]", file)


def words(page: Any, selector: str = "#answer") -> str:
    return " ".join(page.inner_text(selector).split())


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 30)).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.tif")
    return tmp_path / "deep.tif"


def test_a_dropped_image_is_answered_and_forgotten(server: Server, opened: Visit, picture: Path) -> None:
    page = opened.page
    dropped = page.evaluate_handle(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "deep.tif", { type: "image/tiff" }));
            return data;
        }""",
        list(picture.read_bytes()),
    )
    page.dispatch_event("#drop button", "drop", {"dataTransfer": dropped})
    page.wait_for_selector("#answer figcaption:has-text('deep.tif')", timeout=PATIENCE)

    text = words(page)
    assert "% " in text and "branches agree" in text and "How the parts add up" in text
    assert page.locator("#answer .rivals li").count() == 5
    assert page.locator("#answer .parts li").count() == 4 and page.locator("#answer .nomap").count() == 0
    widths = page.evaluate("[...document.querySelectorAll('#answer img')].map(image => image.naturalWidth)")
    assert len(widths) == 5 and min(widths) >= 192
    # Ready for the next one; of the last one nothing is left.
    assert page.locator("#drop input[type=file]").count() == 1
    assert server.files() == []


def test_a_bad_file_is_answered_with_a_sentence(server: Server, opened: Visit, picture: Path) -> None:
    page = opened.page
    upload(page, {"name": "notes.png", "mimeType": "image/png", "buffer": b"a letter"})
    page.wait_for_selector(".ssal-refusal", timeout=PATIENCE)
    assert words(page, ".ssal-refusal").endswith(
        "No answer for this file 'notes.png' cannot be read as an image: "
        "not in one of the formats JPEG, PNG, GIF, BMP, WEBP, TIFF, PPM"
    )
    assert "Traceback" not in page.content() and page.locator(".toast-body").count() == 0
    assert server.files() == []
    upload(page, picture)
    page.wait_for_selector("#answer figcaption:has-text('deep.tif')", timeout=PATIENCE)


def test_names_stay_text(opened: Visit) -> None:
    page = opened.page
    shown = words(page, ".gradio-container")
    for name in NAMES[:4]:
        assert name in shown
    assert "<b onclick=alert(5)>run" in shown
    assert page.locator(".gradio-container [onclick]").count() == 0
    labels = page.locator(".ssal-samples button").all_inner_texts()
    assert sorted(labels) == sorted(NAMES[:3])

    name = "<img src=x onerror=alert(6)>.png"
    upload(page, {"name": name, "mimeType": "image/png", "buffer": b"a letter"})
    page.wait_for_selector(".ssal-refusal", timeout=PATIENCE)
    page.wait_for_timeout(200)


def test_a_test_image_is_answered_with_its_label(opened: Visit, picture: Path) -> None:
    page = opened.page
    last = page.locator(".ssal-samples button").last
    label = last.inner_text()
    last.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "label => document.querySelector('#answer figcaption b').innerText === label",
        arg=label,
        timeout=PATIENCE,
    )
    assert last.get_attribute("aria-pressed") == "true"
    upload(page, picture)
    page.wait_for_selector("#answer figcaption:has-text('deep.tif')", timeout=PATIENCE)
    assert page.locator(".ssal-samples [aria-pressed=true]").count() == 0


def test_too_large_a_file_is_refused(server: Server, visit: Visitor, tmp_path: Path) -> None:
    large = tmp_path / "<img src=x onerror=alert(7)>.png"
    with large.open("wb") as file:
        file.truncate(TOO_LARGE)
    seen = visit(server.address)
    seen.page.wait_for_selector(".ssal-answer", timeout=PATIENCE)
    upload(seen.page, large)
    seen.page.wait_for_selector(".toast-body", timeout=PATIENCE)
    assert "exceed the maximum allowed size of 32" in words(seen.page, ".toast-body")
    seen.page.wait_for_timeout(200)
    assert seen.dialogs == [] and seen.foreign == []
    assert seen.page.locator("[onerror]").count() == 0


def test_the_server_too_refuses_what_is_too_large(server: Server) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    request = urllib.request.Request(
        server.address + "/gradio_api/upload",
        head + bytes(TOO_LARGE) + b"\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 413
    refused.value.close()
    assert server.files() == []


def test_pages_of_others_cannot_read_this_one(server: Server) -> None:
    request = urllib.request.Request(server.address, headers={"Host": "rebound.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 400
    refused.value.close()
    with urllib.request.urlopen(server.address, timeout=20) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(server: Server, visit: Visitor, scheme: str) -> None:
    seen = visit(server.address, width=390, height=844, scheme=scheme)
    seen.page.wait_for_selector(".ssal-answer", timeout=PATIENCE)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert seen.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    ink, ground = seen.page.evaluate(
        """() => {
            const style = getComputedStyle(document.querySelector(".ssal-answer .top"));
            return [style.color, style.backgroundColor].map(colour => colour.match(/[0-9.]+/g).map(Number));
        }"""
    )
    assert (sum(ink[:3]) > sum(ground[:3])) == (scheme == "dark")
    assert seen.errors == []


def test_an_interrupt_ends_it_cleanly(server: Server) -> None:
    """The last one: it ends the server of the others."""
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=30) == 130
    assert server.files() == [] and list(server.temporary.glob("ssal-demo-*")) == []
    told = (server.temporary.parent / "errors").read_text()
    assert "Traceback" not in told and "NETWORK" not in told
    assert len("".join(server.said).splitlines()) == 1
