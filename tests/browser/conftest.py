"""A real browser for the tests of pages, and what a page asked for and complained about."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest


@dataclass
class Visit:
    """A page with everything that it did.

    Attributes:
        page: the page, of Playwright.
        requests: addresses that it asked for.
        errors: what its console says of errors, and exceptions in its scripts.
        dialogs: texts of dialogs that it opened.
    """

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    @property
    def foreign(self) -> list[str]:
        """Requests to anybody but this computer and the page itself."""
        own = ("data", "blob", "file")
        return [
            address
            for address in self.requests
            if (parts := urlsplit(address)).scheme not in own and parts.hostname != "127.0.0.1"
        ]


Visitor = Callable[..., Visit]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    # Chromium refuses to run as root with its sandbox.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Visitor]:
    """Open an address: visit("http://…", width=390, scheme="dark")."""
    contexts: list[Any] = []

    def open_page(address: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        seen = Visit(context.new_page())
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("console", lambda line: line.type == "error" and seen.errors.append(line.text))
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))

        def dismiss(dialog: Any) -> None:
            seen.dialogs.append(dialog.message)
            dialog.dismiss()

        seen.page.on("dialog", dismiss)
        seen.page.goto(address)
        return seen

    yield open_page
    for context in contexts:
        context.close()
