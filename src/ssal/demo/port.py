"""A port of this computer that other computers cannot reach."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from ssal.errors import InputError

HOST = "127.0.0.1"
DEFAULT_PORT = 7860
_TRIED, _LARGEST = 50, 65535


def listen(port: int | None) -> socket.socket:
    """Listen on a port of 127.0.0.1.

    Args:
        port: the port, 0 for any; the first free one from 7860 if None.

    Raises:
        InputError: the port is taken or not allowed; the message names a free one.
    """
    if port is None:
        found = _first_free(range(DEFAULT_PORT, DEFAULT_PORT + _TRIED))
        if found is None:
            last = DEFAULT_PORT + _TRIED - 1
            raise InputError(f"the ports {DEFAULT_PORT} to {last} are all taken; name another with --port")
        return found
    if not 0 <= port <= _LARGEST:
        raise InputError(f"a port is a number from 0 to {_LARGEST}, not {port}")
    try:
        return _listen(port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    free = _first_free(range(max(port, 1023) + 1, min(max(port, 1023) + _TRIED, _LARGEST)))
    hint = "name another"
    if free is not None:
        hint = f"free is --port {free.getsockname()[1]}"
        free.close()
    raise InputError(f"cannot listen on port {port}: {reason}; {hint}")


def _first_free(ports: Iterable[int]) -> socket.socket | None:
    for port in ports:
        try:
            return _listen(port)
        except OSError:
            continue
    return None


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        # At once: as long as nobody listens, the system lets others bind the port as well.
        listener.listen(64)
    except OSError:
        listener.close()
        raise
    return listener
