"""Child processes side by side, and the order in which they get trainings."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any, cast

import torch

from ssal.errors import RunError
from ssal.experiments.plan import Cell
from ssal.experiments.store import Store
from ssal.machine import available_cores

# How long a training that another process is doing is left alone before it is asked for again.
_BUSY_SECONDS = 5.0
_COMMAND = (sys.executable, "-m", "ssal.experiments.worker")
_NEEDED_FAILED = "a training that it needs, such as the baseline of its groups, failed"


def worker_count(asked: int | None) -> int:
    """As many child processes as GPUs, else as cores of this process, unless a number is given."""
    if asked is not None:
        return asked
    if torch.cuda.is_available():
        return torch.cuda.device_count()
    return available_cores()


def _environment(number: int) -> dict[str, str]:
    """One thread each: two processes of one thread are faster than one of two, and waiting must not spin."""
    extra = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    if torch.cuda.is_available():
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = given.split(",") if given else [str(index) for index in range(torch.cuda.device_count())]
        extra["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
    return {**os.environ, **extra}


class _Worker:
    """A child process and what it says, put into a queue shared by all."""

    def __init__(
        self, number: int, command: Sequence[str], inbox: queue.Queue[tuple[_Worker, dict[str, Any]]]
    ) -> None:
        self.cell: Cell | None = None
        self.started = False
        self.number = number
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(number),
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the parent, which then ends its children
        )
        self._listener = threading.Thread(target=self._listen, args=(inbox,), daemon=True)
        self._listener.start()

    def _listen(self, inbox: queue.Queue[tuple[_Worker, dict[str, Any]]]) -> None:
        for line in cast("IO[str]", self._process.stdout):
            inbox.put((self, json.loads(line)))
        inbox.put((self, {"event": "ended"}))

    def order(self, cell: Cell, store: Store) -> None:
        """Hand a training over."""
        self.cell = cell
        order = {"training": cell.training.to_json(), "digest": cell.digest, "store": str(store.root)}
        pipe = cast("IO[str]", self._process.stdin)
        # A child that died meanwhile is met again in the inbox.
        with suppress(OSError):
            pipe.write(json.dumps(order) + "\n")
            pipe.flush()

    def obituary(self) -> str:
        """How the process ended, and the last thing it said."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return f"its process was {ended}" + (f": {lines[-1][:200]}" if lines else "")

    def end(self) -> None:
        """Kill the process and wait for it."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):
                cast("IO[str]", stream).close()


@dataclass
class _Schedule:
    """What is still to do: a training waits for those that it needs."""

    waiting: list[Cell]
    store: Store
    failed: dict[str, str] = field(default_factory=dict[str, str])
    later: dict[str, float] = field(default_factory=dict[str, float])

    def give_up(self) -> list[Cell]:
        """Those that wait for one which failed; they are not waited for any longer."""
        lost = [cell for cell in self.waiting if not self.failed.keys().isdisjoint(cell.training.needs)]
        for cell in lost:
            self.waiting.remove(cell)
            self.failed[cell.digest] = _NEEDED_FAILED
        return lost

    def take(self, running: set[str]) -> Cell | None:
        """The next training that can start now."""
        for cell in self.waiting:
            needs = cell.training.needs
            ready = running.isdisjoint(needs) and all(map(self.store.has_result, needs))
            if ready and self.later.get(cell.digest, 0) <= time.monotonic():
                self.waiting.remove(cell)
                return cell
        return None


Report = Callable[[Cell, str], None]


def run_cells(
    cells: Sequence[Cell], store: Store, workers: int, report: Report, command: Sequence[str] = _COMMAND
) -> dict[str, str]:
    """Do all trainings that are not finished, `workers` at a time.

    Args:
        cells: trainings; two of one digest are done once, each waits for those that it needs.
        store: where results go.
        workers: number of child processes.
        report: called with a training and a line about it.
        command: what a child process runs, see `ssal.experiments.worker`.

    Returns:
        The errors of trainings that failed, by digest; the others are done.

    Raises:
        RunError: a child process does not start.
    """
    todo = list({cell.digest: cell for cell in cells if not store.is_done(cell.training)}.values())
    schedule = _Schedule(todo, store)
    inbox: queue.Queue[tuple[_Worker, dict[str, Any]]] = queue.Queue()
    pool = {number: _Worker(number, command, inbox) for number in range(min(workers, len(todo)))}
    idle: list[_Worker] = []
    try:
        while schedule.waiting or any(worker.cell for worker in pool.values()):
            for cell in schedule.give_up():
                report(cell, f"failed: {_NEEDED_FAILED}")
            running = {worker.cell.digest for worker in pool.values() if worker.cell}
            while idle and (cell := schedule.take(running)) is not None:
                idle.pop().order(cell, store)
                running.add(cell.digest)
                report(cell, "started")
            try:
                worker, message = inbox.get(timeout=1.0)
            except queue.Empty:
                continue
            _handle(worker, message, schedule, report)
            if message["event"] == "ended":
                worker.end()
                idle = [other for other in idle if other is not worker]
                pool[worker.number] = _Worker(worker.number, command, inbox)
            elif message["event"] != "line":
                worker.cell = None
                idle.append(worker)
    finally:
        for worker in pool.values():
            worker.end()
    return schedule.failed


def _handle(worker: _Worker, message: dict[str, Any], schedule: _Schedule, report: Report) -> None:
    """Take note of what a child said about its training."""
    cell = worker.cell
    if message["event"] == "ended" and not worker.started:
        raise RunError(f"a child process cannot start: {worker.obituary()}")
    worker.started = True
    if cell is None:
        return
    match message["event"]:
        case "line":
            report(cell, message["line"])
        case "busy":
            report(cell, "another process is at it; waiting for its result")
            schedule.later[cell.digest] = time.monotonic() + _BUSY_SECONDS
            schedule.waiting.append(cell)
        case "failed" | "ended":
            error = message.get("error") or worker.obituary()
            if message["event"] == "ended":
                schedule.store.write_error(cell.digest, error, "")
            schedule.failed[cell.digest] = error
            report(cell, f"failed: {error}")
        case _:
            report(cell, "done")
