"""A child process that does trainings: one JSON line in for each, JSON lines out about its progress."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from ssal.errors import RunError, SsalError
from ssal.experiments.cell import do_training
from ssal.experiments.store import BusyError, Store
from ssal.experiments.training import Training
from ssal.training import keep_freed_memory

Send = Callable[[dict[str, Any]], None]


def _private_output() -> TextIO:
    """The pipe to the parent; whatever else prints goes to standard error from here on."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def _read_orders(orders: queue.Queue[str]) -> None:
    for line in sys.stdin:
        orders.put(line)
    # The parent is gone, however it ended: nobody waits for the result.
    os._exit(1)


def follow(order: dict[str, Any], send: Send) -> None:
    """Do one training and say how it ended."""
    training, store = Training.from_json(order["training"]), Store(Path(order["store"]))
    try:
        if training.digest != order["digest"]:
            raise RunError("the program was changed while the experiment ran; start it again")
        do_training(training, store, lambda line: send({"event": "line", "line": line}))
    except BusyError:
        send({"event": "busy"})
    except Exception as error:
        text = str(error) if isinstance(error, SsalError) else f"{type(error).__name__}: {error}"
        line = " ".join(text.split())
        store.write_error(order["digest"], line, traceback.format_exc())
        send({"event": "failed", "error": line})
    else:
        send({"event": "done"})


def main() -> None:
    """Follow orders until the parent closes the pipe."""
    pipe = _private_output()

    def send(message: dict[str, Any]) -> None:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()

    keep_freed_memory()
    orders: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_orders, args=(orders,), daemon=True).start()
    send({"event": "ready"})
    while True:
        follow(json.loads(orders.get()), send)


if __name__ == "__main__":
    main()
