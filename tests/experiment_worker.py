"""Stands for a child process of the experiments' runner: does what a name in the settings says, at once."""

import json
import os
import signal
import sys
import time
from pathlib import Path


def send(**message: object) -> None:
    print(json.dumps(message), flush=True)


def write(order: dict[str, str], name: str, content: dict[str, str]) -> None:
    folder = Path(order["store"]) / "trainings" / order["digest"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def main(log: Path) -> None:
    send(event="ready")
    for line in sys.stdin:
        order = json.loads(line)
        settings = order["training"]["settings"]
        deed = settings["model"]
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{deed} {settings['seed']}\n")
        if deed == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "slow":
            time.sleep(60)
        if deed == "fails":
            write(order, "error.json", {"error": "no such thing"})
            send(event="failed", error="no such thing")
            continue
        if deed == "busy" and log.read_text(encoding="utf-8").count("busy") == 1:
            send(event="busy")
            continue
        send(event="line", line=f"epoch of {deed}")
        write(order, "training.json", {})
        send(event="done")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
