"""The process behind the page: one temporary folder, one server, a clean end."""

from __future__ import annotations

import gc
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from torch import nn

from ssal.demo.port import DEFAULT_PORT, HOST, listen
from ssal.demo.samples import Sample, find_samples
from ssal.errors import InputError, SsalError
from ssal.run import Predictor, load

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BYTES = 32 * 2**20

# The page may use what this server gives it, and nothing else. Its framework makes functions from templates.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)


def run_demo(
    run: Path,
    port: int | None = None,
    *,
    backbone: Callable[..., nn.Module] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the page of a run, to this computer only, until the process is interrupted.

    Args:
        run: the run directory, or a `model/` folder.
        port: where to listen; the first free port from 7860 if None.
        backbone: function from `num_classes` to the backbone, for models whose backbone is no named network.
        say: receives what to tell the user.

    Raises:
        InputError: gradio is not installed, or the port is taken.
        RunError: there is no finished model in the run, or its files are damaged.
    """
    if find_spec("gradio") is None:
        raise InputError(
            "the demo needs gradio, which is not installed; get it with: pip install 'ssal[demo]'"
        )
    with listen(port) as listener, tempfile.TemporaryDirectory(prefix="ssal-demo-") as folder:
        predictor = load(run, backbone=backbone)
        samples = _samples(run, predictor, say)
        _keep_to_this_computer(Path(folder))
        app = build_app(predictor, run.resolve().name, samples)
        number: int = listener.getsockname()[1]
        if port is None and number != DEFAULT_PORT:
            say(f"port {DEFAULT_PORT} is taken; {number} is used instead")
        say(f"open http://{HOST}:{number} in a browser on this computer; Ctrl-C ends the demo")
        _serve(app, listener)


def build_app(predictor: Predictor, name: str, samples: Sequence[Sample]) -> ASGIApp:
    """The web application: the page, for this computer and under a policy that forbids other sources.

    Args:
        predictor: the model, in mode `joint`.
        name: what to call the model.
        samples: test images to choose from.
    """
    import gradio
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from ssal.demo.blocks import build_page, page_settings

    app = FastAPI(openapi_url=None)
    page = build_page(predictor, name, samples)
    gradio.mount_gradio_app(
        app, page, path="/", server_name=HOST, max_file_size=MAX_BYTES, footer_links=[], show_error=False,
        ssr_mode=False, mcp_server=False, **page_settings(),
    )  # fmt: skip
    # Names of other hosts can be made to point here, and would let their pages read ours.
    return TrustedHostMiddleware(_with_policy(app), allowed_hosts=[HOST, "localhost"])


def _with_policy(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    (b"content-security-policy", _POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message = {**message, "headers": [*message.get("headers", []), *headers]}
            await send(message)

        await app(scope, receive, send_with_policy)

    return answer


def _keep_to_this_computer(folder: Path) -> None:
    """Switch off, before gradio is imported, what would leave this computer or stay on it."""
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_RUN_HISTORY": "False",
        "GRADIO_TEMP_DIR": str(folder),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def _samples(run: Path, predictor: Predictor, say: Callable[[str], None]) -> list[Sample]:
    try:
        return find_samples(run, predictor)
    except (SsalError, OSError) as error:
        say(f"no test images on the page: {error}")
        return []


def _serve(app: ASGIApp, listener: socket.socket) -> None:
    import uvicorn

    def end(_number: int, _frame: Any) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    # Otherwise the process would die without removing the uploads.
    signal.signal(signal.SIGTERM, end)
    # What lives now lives to the end; looking through it all once more would delay the end by seconds.
    gc.freeze()
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])
