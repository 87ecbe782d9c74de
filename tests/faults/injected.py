"""Faults of the operating system, put into a process of the bench before its run begins."""

import errno
import hashlib
import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

_CALLS = {"write": "write", "flush": "fsync", "rename": "replace", "link": "link"}


def failing(call: str, number: int, code: str, run: str) -> None:
    """From the `number`th time on, every `call` of one kind fails with `code`, such as ENOSPC.

    What the checkpoints of `run` are at that moment is written down beside it.
    """
    real = getattr(os, _CALLS[call])
    write, rename = os.write, os.replace
    seen = 0

    def fail(*arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen < number:
            return real(*arguments, **named)
        if seen == number:
            digests = {
                path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted((Path(run) / "checkpoints").glob("*.ckpt"))
            }
            witness = os.open(f"{run}.witness.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            write(witness, json.dumps(digests).encode())
            os.close(witness)
            rename(f"{run}.witness.new", f"{run}.witness")
        value = getattr(errno, code)
        raise OSError(value, os.strerror(value))

    setattr(os, _CALLS[call], fail)


def slow(seconds: float) -> None:
    """Flushing and renaming take their time, so that a kill often falls into a save."""
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def wait(*arguments: Any, real: Any = real, **named: Any) -> Any:
            time.sleep(seconds)
            result = real(*arguments, **named)
            time.sleep(seconds)
            return result

        setattr(os, name, wait)


def small_files(largest: int) -> None:
    """The kernel itself refuses to make a file larger than this; an empty disk does so in the same words."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def pausing(where: str, call: int, marker: str) -> None:
    """At its `call`th call, `where` makes the file `marker` and waits for `marker`.go.

    Written as module:name or module:class.name.
    """
    module, _, name = where.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    real = getattr(owner, last)
    seen = 0

    def pause(*arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == call:
            Path(marker).touch()
            end = time.monotonic() + 30
            while not Path(f"{marker}.go").exists() and time.monotonic() < end:
                time.sleep(0.002)
        return real(*arguments, **named)

    setattr(owner, last, pause)


def leaking(size: int) -> None:
    """Each epoch keeps so many bytes for good."""
    from ssal.run import stages

    real = stages.add_row
    kept: list[bytearray] = []

    def leak(*arguments: Any) -> None:
        kept.append(bytearray(os.urandom(size)))
        real(*arguments)

    stages.add_row = leak
