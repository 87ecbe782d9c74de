"""What went wrong in another process, told by the process that started it."""

from __future__ import annotations

import re
from typing import NoReturn

from torch.multiprocessing.spawn import ProcessException, ProcessExitedException

from ssal.errors import DataError, InputError, RunError
from ssal.interrupts import Interrupted

_KINDS = {f"ssal.errors.{kind.__name__}": kind for kind in (DataError, InputError, RunError)}
_FIRST_SIGNAL = 128
_LOST_WORKER = re.compile(r"DataLoader worker \(pid.*?\) (is killed by signal: \w+|exited unexpectedly)")


def lost_worker(error: RuntimeError) -> str | None:
    """A sentence on the end of a process that reads images, if it is that what `error` tells of.

    >>> lost_worker(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "))
    'a process that reads images is killed by signal: Killed, often for want of memory'
    """
    found = _LOST_WORKER.search(str(error))
    return found and f"a process that reads images {found[1]}, often for want of memory"


def raise_in_parent(error: ProcessException) -> NoReturn:
    """Raise what a child process has raised; only its text came over.

    Raises:
        Interrupted: it stopped because a signal had asked it to.
        DataError, InputError, RunError: as there.
        RunError: it was killed.
        ProcessException: it failed in any other way; the text is the traceback.
    """
    if isinstance(error, ProcessExitedException):
        if error.exit_code > _FIRST_SIGNAL:
            raise Interrupted(error.exit_code - _FIRST_SIGNAL) from None
        raise RunError(f"a training process ended unexpectedly: {error}") from None
    kind, _, text = str(error).rstrip().rpartition("\n")[2].partition(": ")
    if kind in _KINDS:
        raise _KINDS[kind](text) from None
    if kind == "OSError":
        raise OSError(text) from None
    raise error
