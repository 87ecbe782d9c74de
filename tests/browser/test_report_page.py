"""The report in a real browser, opened from its file as a reader does."""

import json
import re
from typing import Any

import pytest

from ssal.api import write_report

from ..made_runs import made_run, run_with_images
from .conftest import Visit, Visitor

HOSTILE = [
    "<script>alert(1)<|script>",
    "<img src=x onerror=alert(2)>",
    "\u202eevil\u2066",
    "x" * 250,
    "{{7*7}} & 'co'",
    "שלום עולם",
    "a",
]
WIDTHS = (390, 1280)

# Every text with its colour and what is behind it, as the guidelines ask: contrast of at least 4.5.
FAINT = """() => {
    const light = part => part <= 10.3 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4;
    const luminance = rgb => 0.2126 * light(rgb[0]) + 0.7152 * light(rgb[1]) + 0.0722 * light(rgb[2]);
    const numbers = colour => colour.match(/[0-9.]+/g).map(Number);
    const back = element => numbers(getComputedStyle(element).backgroundColor);
    const faint = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.nodeValue.trim() || !element.checkVisibility()) continue;
        const style = getComputedStyle(element);
        const ink = numbers(element.closest("svg") ? style.fill : style.color);
        let behind = element;
        while (behind && (back(behind)[3] ?? 1) === 0) behind = behind.parentElement;
        const ground = behind ? back(behind) : [255, 255, 255];
        const [bright, dim] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
        const ratio = (bright + 0.05) / (dim + 0.05);
        if (ratio < 4.5) faint.push([element.textContent.trim().slice(0, 30), ratio]);
    }
    return faint;
}"""
# Texts below the size that can be read, those in pictures as large as they are shown.
SMALL = """() => {
    const scale = svg => svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    const speaks = element => [...element.childNodes].some(n => n.nodeType === 3 && n.nodeValue.trim());
    return [...document.querySelectorAll("main *")]
        .filter(element => element.checkVisibility() && speaks(element))
        .map(e => [e.textContent.trim(), parseFloat(getComputedStyle(e).fontSize) * scale(e.closest("svg"))])
        .filter(([, size]) => size < 9.5);
}"""
# Regions that scroll do so inside the page, and can be reached by the keyboard.
UNREACHED = """() => [...document.querySelectorAll("main *")].filter(e => e.scrollWidth > e.clientWidth + 1
    && getComputedStyle(e).overflowX === "auto" && e.tabIndex < 0).length"""
SPILLED = """() => [...document.querySelectorAll("main *")]
    .filter(e => e.checkVisibility() && !e.closest(".wide, svg"))
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className || e.tagName)"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of the report of a run whose names would like to be code."""
    run = run_with_images(tmp_path_factory.mktemp("pages"), HOSTILE)
    areas = {"map": 0.2, "random": 0.5, "centre": 0.3, "difference": 0.3, "interval": [0.2, 0.4]}
    curves = {"fractions": [0.0, 0.5, 1.0], "deletion": [0.9, 0.3, 0.1], "deletion_random": [0.9, 0.6, 0.1]}
    part = {"part": "<b>main", "deletion": areas, "insertion": areas, "curves": curves}
    found = {"images": 9, "parts": [part], "findings": ["<script>alert(3)</script> is better."]}
    (run / "eval" / "explanations.json").write_text(json.dumps(found))
    return write_report(run).as_uri()


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("compared")
    runs = [made_run(folder / f"<i>{seed}{'y' * 120}", HOSTILE, seed=seed) for seed in range(3)]
    return write_report(*runs, out=folder / "compare.html").as_uri()


def open_all(page: Any) -> int:
    """Click on everything that opens, and say how many there were."""
    closed = page.locator("details:not([open]) > summary")
    count = 0
    while closed.count():
        closed.first.click()
        count += 1
    return count


def check_quiet(seen: Visit) -> None:
    """Nothing was asked for but the page, nothing was complained about, nothing opened."""
    asked = [address for address in seen.requests if not address.startswith("data:")]
    assert len(asked) == 1 and asked[0].startswith("file://"), asked
    assert seen.errors == [] and seen.dialogs == [] and seen.foreign == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_is_readable_and_stays_quiet(report: str, visit: Visitor, width: int, scheme: str) -> None:
    seen = visit(report, width=width, height=844, scheme=scheme)
    page = seen.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert open_all(page) >= 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(UNREACHED) == 0 and page.evaluate(SPILLED) == []
    assert page.evaluate(FAINT) == []
    assert page.evaluate(SMALL) == []
    images = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert len(images) > 10 and all(images)
    check_quiet(seen)


def test_light_and_dark_reach_page_and_pictures(report: str, visit: Visitor) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        page = visit(report, scheme=scheme).page
        colours[scheme] = page.evaluate(
            """() => [getComputedStyle(document.body).backgroundColor,
                getComputedStyle(document.querySelector("svg.chart text")).fill,
                getComputedStyle(document.querySelector("svg.chart path[stroke]")).stroke]"""
        )
    for light, dark in zip(colours["light"], colours["dark"], strict=True):
        assert light != dark
    paper = {scheme: sum(map(int, re.findall(r"\d+", found[0]))) for scheme, found in colours.items()}
    assert paper["light"] > 700 and paper["dark"] < 100


def test_names_stay_text(report: str, visit: Visitor) -> None:
    seen = visit(report)
    open_all(seen.page)
    text = seen.page.inner_text("body")
    shown = [*HOSTILE[:2], "\\u202eevil\\u2066", *HOSTILE[4:6], "<script>alert(3)</script>", "<b>main"]
    assert [name for name in shown if name not in text] == []
    assert "x" * 100 not in text and "\u202e" not in text
    assert seen.page.locator("script, [onerror], main b b").count() == 0
    assert seen.page.locator("bdi").count() > 50
    check_quiet(seen)


def test_the_policy_keeps_out_what_should_get_in(report: str, visit: Visitor) -> None:
    """Even if a name were markup: nothing runs, nothing is loaded, nothing is restyled."""
    seen = visit(report)
    seen.page.evaluate(
        """() => {
            document.body.insertAdjacentHTML("beforeend", "<img src='https://example.org/x.png'>"
                + "<p id=styled style='color: red'>x</p><img src=x onerror='document.title = 1'>");
            const script = document.createElement("script");
            script.textContent = "document.title = 2";
            document.body.append(script);
        }"""
    )
    seen.page.wait_for_timeout(100)
    assert "ssal report" in seen.page.title()
    assert seen.page.evaluate("getComputedStyle(document.querySelector('#styled')).color") != "rgb(255, 0, 0)"
    assert len(seen.errors) >= 4 and all("Content Security Policy" in error for error in seen.errors)


def test_the_keyboard_reaches_everything(report: str, visit: Visitor) -> None:
    page = visit(report).page
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to the content" and skip.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#content"
    focusable = page.locator("a, summary, [tabindex]").count()
    assert focusable > 15
    summary = page.locator("details:not([open]) > summary").first.element_handle()
    summary.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert summary.evaluate("e => e.parentElement.open")
    tree = page.locator("main").aria_snapshot()
    for part in ("heading", "table", "columnheader", "rowheader", "img", "region", "figure"):
        assert part in tree, part


def test_links_lead_to_their_sections(report: str, visit: Visitor) -> None:
    page = visit(report, height=700).page
    links = page.locator("nav a")
    for number in range(links.count()):
        links.nth(number).click()
        target = page.locator(page.evaluate("location.hash"))
        assert target.is_visible() and -5 <= target.bounding_box()["y"] <= 700


def test_printed_it_is_light_and_complete(report: str, visit: Visitor) -> None:
    seen = visit(report, scheme="dark")
    page = seen.page
    closed = page.locator("details:not([open]) > :not(summary)").first
    assert not closed.is_visible()
    page.emulate_media(media="print")
    assert closed.bounding_box()["height"] > 20
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    ink = "getComputedStyle(document.querySelector('svg.chart text')).fill"
    assert page.evaluate(ink) == "rgb(87, 91, 100)"
    assert not page.locator("nav").is_visible()
    printed = page.pdf(format="A4", margin=dict.fromkeys(("top", "right", "bottom", "left"), "14mm"))
    pages = len(re.findall(rb"/Type /Page\b", printed))
    assert printed.startswith(b"%PDF") and 3 <= pages <= 30


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_fits_and_stays_quiet(comparison: str, visit: Visitor, width: int) -> None:
    seen = visit(comparison, width=width, scheme="dark")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.page.evaluate(FAINT) == [] and seen.page.evaluate(SMALL) == []
    assert "<i>" in seen.page.inner_text("header") and seen.page.locator("i").count() == 0
    check_quiet(seen)
