"""Nothing that a person does not ask for goes over the network: not at import, not in a run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

GUARD = """
import os, socket, sys, traceback

CALLS = {"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}


def watch(event, arguments):
    # Sockets between processes of this machine are no network.
    opened = event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6)
    if opened or event in CALLS and not isinstance(arguments[-1], (str, bytes)):
        traceback.print_stack()
        print(event, arguments, file=sys.stderr, flush=True)
        # An exception could be caught, and the call tried again later without a word.
        os._exit(97)


sys.addaudithook(watch)
"""
IMPORTS = """
import importlib, pkgutil
import huggingface_hub, lightning, timm, torchvision, safetensors.torch, torchmetrics, captum.attr
import ssal, ssal.cli
for name in ssal.__all__:
    getattr(ssal, name)
for module in pkgutil.walk_packages(ssal.__path__, "ssal."):
    # The page of the demo needs a package that is not everywhere.
    if not module.name.startswith(("ssal.demo", "ssal.export", "ssal.__main__")):
        importlib.import_module(module.name)
print("imported")
"""
VERBS = """
import sys
from ssal.cli import main

def run(*words):
    sys.argv = ["ssal", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)

run("--help")
run("train", "--help")
run("doctor")
run("train", "digits", "--epochs", "1", "--width", "4", "--groups", "2", "--taps", "layer2", "--out", "run")
run("eval", "run")
run("groups", "show", "run")
import numpy as np
from PIL import Image
Image.fromarray(np.zeros((8, 8), np.uint8)).save("image.png")
run("predict", "run", "image.png")
run("explain", "run", "image.png")
import ssal
print(ssal.load("run").predict("image.png").class_name)
print("ran")
"""


def guarded(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", GUARD + code],
        capture_output=True,
        text=True,
        cwd=folder,
        # Whoever runs the tests may have switched off what would show here.
        env={key: value for key, value in os.environ.items() if not key.startswith(("HF_", "DO_NOT_TRACK"))}
        | {"HF_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket()",
        "import urllib.request; urllib.request.urlopen('http://192.0.2.1')",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import ssal\n"
        "try: ssal.train('digits', model='resnet18', pretrained=True, image_size=32, out='run')\n"
        "except Exception: pass",
    ],
)
def test_the_guard_sees_what_is_opened(tmp_path: Path, code: str) -> None:
    assert guarded(code, tmp_path).returncode == 97


def test_imports_open_no_connection(tmp_path: Path) -> None:
    done = guarded(IMPORTS, tmp_path)
    assert done.returncode == 0 and done.stdout.endswith("imported\n"), done.stderr


def test_a_run_and_all_that_follows_open_no_connection(tmp_path: Path) -> None:
    done = guarded(VERBS, tmp_path)
    assert done.returncode == 0 and done.stdout.endswith("ran\n"), done.stderr
    assert not (tmp_path / "cache").exists()
