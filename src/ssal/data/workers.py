"""What a process that reads images does with signals that were meant for its parent."""

import os
import signal
import threading


def leave_signals_to_parent(number: int) -> None:
    """Go on when a signal reaches the whole process group, since the parent wants to end in good order.

    A terminal and most schedulers signal whole groups; without its readers the parent could not finish its
    batch and save. Only what the parent itself sends is obeyed.

    Args:
        number: of the worker, as `DataLoader` tells it.
    """
    del number
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Who sent a signal is told to one that waits for it, not to a handler; and not on every system.
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()


def _obey(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
