"""Signals that ask a process to end, so that it ends at a moment of its own choice."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked the process to end.

    No `KeyboardInterrupt`, which libraries below us catch and turn into something else.

    Attributes:
        signum: number of the signal.
        advice: what a person may do next; may be empty.
    """

    def __init__(self, signum: int, advice: str = "") -> None:
        super().__init__(signum, advice)
        self.signum = signum
        self.advice = advice

    @property
    def status(self) -> int:
        """Exit status that shells give to a process that this signal ended."""
        return 128 + self.signum

    def __str__(self) -> str:
        name = f"stopped by {signal.Signals(self.signum).name}"
        return f"{name}; {self.advice}" if self.advice else name


class Interrupts:
    """Turns SIGINT and SIGTERM into `Interrupted` while it is entered; the former handlers come back after.

    Outside of `held_back` the exception rises at once. Within, the first signal is only noted, and rises from
    the next `check`; a SIGINT after another signal rises at once even there. Handlers belong to the main
    thread: in another one nothing is installed. A signal that is ignored stays ignored, as `nohup` wants it.
    Forked processes leave signals to their parent, unless they `adopt` them.

    Attributes:
        received: the first signal that came, if any.
        forward: called with SIGTERM when the first signal comes, for processes that are to hear of it too.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.forward: Callable[[int], None] | None = None
        self._entered = False
        self._held = 0
        self._former: dict[int, Any] = {}
        self._process = os.getpid()
        self._adopted = False

    def __enter__(self) -> Interrupts:
        self._entered = True
        self._process = os.getpid()
        self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered = False
        for signum, handler in self._former.items():
            signal.signal(signum, handler)
        self._former = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_former": {}, "forward": None}

    def _install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in _WATCHED:
            present = signal.getsignal(signum)
            if present not in (signal.SIG_IGN, None):
                self._former.setdefault(signum, present)
                signal.signal(signum, self._note)

    def adopt(self) -> None:
        """Put the handlers back in their place, in this process; one of several only notes signals."""
        if self._entered:
            self._adopted = self._adopted or os.getpid() != self._process
            self._process = os.getpid()
            self._install()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return
        again = self.received is not None
        self.received = self.received or signum
        if self._adopted:
            return
        if self.forward is not None and not again:
            self.forward(signal.SIGTERM)
        # Further signals must not disturb what the first one set going, but a person may insist.
        if (signum == signal.SIGINT) if again else not self._held:
            raise Interrupted(signum)

    @contextmanager
    def held_back(self) -> Generator[None]:
        """Only note a first signal; the block calls `check` where it can stop."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def check(self) -> None:
        """Raise `Interrupted` if a signal was noted."""
        if self.received is not None:
            raise Interrupted(self.received)
