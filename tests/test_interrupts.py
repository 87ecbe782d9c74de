import os
import pickle
import signal
import threading
import time
from pathlib import Path

import pytest

import ssal
from ssal.interrupts import Interrupted, Interrupts


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_rises_at_once_and_handlers_come_back(signum: int, status: int) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted) as caught, Interrupts():
        assert signal.getsignal(signum) not in before
        send(signum)
        raise AssertionError("not reached")
    assert caught.value.status == status
    assert str(caught.value) == f"stopped by {signal.Signals(signum).name}"
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_a_first_signal_can_be_held_back() -> None:
    done: list[str] = []
    with Interrupts() as interrupts:
        with interrupts.held_back():
            send(signal.SIGTERM)
            send(signal.SIGTERM)
            done.append("more")
        with pytest.raises(Interrupted, match="SIGTERM"):
            interrupts.check()
    assert done == ["more"]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_person_may_insist(first: int) -> None:
    with Interrupts() as interrupts, interrupts.held_back():
        send(first)
        with pytest.raises(Interrupted, match="SIGINT"):
            send(signal.SIGINT)


def test_a_signal_that_nobody_saw_is_not_forgotten() -> None:
    """Exceptions that rise in a finaliser are lost; `check` still knows."""

    class Careless:
        def __del__(self) -> None:
            with pytest.raises(Interrupted):
                send(signal.SIGTERM)

    with Interrupts() as interrupts:
        Careless()
        with pytest.raises(Interrupted):
            interrupts.check()


def test_other_threads_install_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with Interrupts() as interrupts:
            seen.append(signal.getsignal(signal.SIGTERM))
            interrupts.check()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_what_is_ignored_stays_ignored() -> None:
    """A run under nohup or in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            send(signal.SIGINT)
            interrupts.check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_forked_processes_leave_signals_to_their_parent(tmp_path: Path) -> None:
    with Interrupts() as interrupts:
        child = os.fork()
        if not child:
            (tmp_path / "ready").touch()
            while not (tmp_path / "go").exists():
                time.sleep(0.005)
            os._exit(7 if interrupts.received is None else 1)
        while not (tmp_path / "ready").exists():
            time.sleep(0.005)
        os.kill(child, signal.SIGTERM)
        os.kill(child, signal.SIGINT)
        (tmp_path / "go").touch()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_signals_are_forwarded_once() -> None:
    heard: list[int] = []
    with Interrupts() as interrupts:
        interrupts.forward = heard.append
        with interrupts.held_back():
            send(signal.SIGTERM)
            send(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
        assert pickle.loads(pickle.dumps(interrupts)).received == signal.SIGTERM


@pytest.mark.parametrize(
    ("signum", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_python_users_see_what_python_raises(tmp_path: Path, signum: int, error: type[BaseException]) -> None:
    """`ssal.train`, as in a notebook: the state is saved, the message says how to go on."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    said: list[str] = []

    def echo(line: str) -> None:
        said.append(line)
        if line.startswith("baseline 1/"):
            send(signum)

    with pytest.raises(error) as caught:
        ssal.train(
            "digits",
            out=tmp_path / "run",
            echo=echo,
            width=4,
            groups="2",
            epochs=2,
            batch_size=512,
            precision="32",
        )
    assert said[-1].endswith(f"go on with: ssal train --resume {tmp_path / 'run'}")
    if isinstance(caught.value, SystemExit):
        assert caught.value.code == 143
    assert not any(line.startswith("baseline 2/") for line in said)
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
