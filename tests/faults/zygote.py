"""A process that has imported everything, and forks a copy of itself for each run of the command line.

Most of the life of a short run goes into importing torch and Lightning; a fork has them at once. One JSON
line in, one JSON line out: `{"start": {…}}` answers with the number of the new process, which leads a process
group of its own; `{"wait": number, "seconds": s}` with its exit status, as `subprocess` tells it, or null.
"""

import atexit
import contextlib
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from ssal.data import settle

# What a run imports only on its way.
_LATER = (
    "pyarrow.dataset",
    "ssal.api",
    "ssal.run",
    "lightning.pytorch.strategies",
    "scipy.optimize",
    "sklearn.datasets",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "torch._dynamo",
    "torch.utils.flop_counter",
    "torchvision",
)


def run_command(order: dict[str, Any]) -> int:
    """Be the process of `ssal ARGUMENTS`, with a fault injected if the order says so."""
    os.setpgid(0, 0)
    os.chdir(order["folder"])
    out = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    silence = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((silence, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    sys.argv = ["ssal", *order["arguments"]]
    sys.path.insert(0, str(Path(__file__).parent))
    if order["fault"] is not None:
        import injected

        getattr(injected, order["fault"]["name"])(**order["fault"]["with"])
    from ssal import api
    from ssal.cli import main

    if not order["report"]:
        # It takes longer than the run itself.
        api.add_report = lambda run, echo: None
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        # What no handler of ours took is a failure of the test.
        import traceback

        traceback.print_exc()
        return 99
    return 0


def start(order: dict[str, Any]) -> int:
    process = os.fork()
    if process:
        # Here as well, so that the group is there whoever comes first.
        with contextlib.suppress(OSError):
            os.setpgid(process, process)
        return process
    code = 99
    try:
        code = run_command(order)
    finally:
        # As at the end of any Python process.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(process: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while True:
        number, status = os.waitpid(process, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.002)


def serve() -> None:
    for name in _LATER:
        importlib.import_module(name)
    Image.init()
    # As if they were too many for memory: only then do processes read them.
    settle.MEMORY_LIMIT = 0
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer = start(order["start"]) if "start" in order else wait(order["wait"], order["seconds"])
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    serve()
