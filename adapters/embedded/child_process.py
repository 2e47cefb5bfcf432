"""Starts child processes that end with their parent, also when it is killed with -9.

The kernel sends a child its parent-death signal when the *thread* that started it ends, not when the process does. So
one thread, which lives as long as the process, starts every child.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

from adapters.embedded.errors import BinaryMissing

_START_DEADLINE_S = 30.0
"""A start is a fork and an exec; longer means a machine that hangs."""

_StartRequest = tuple[Callable[[], "subprocess.Popen[bytes]"], "Future[subprocess.Popen[bytes]]"]


class _StartingThread:
    """Runs start requests one after another in a thread that ends only with the process."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[_StartRequest] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="starts-children", daemon=True).start()

    def _run(self) -> None:
        while True:
            start, answer = self._requests.get()
            try:
                answer.set_result(start())
            except BaseException as failure:  # noqa: BLE001 - the caller gets it; this thread must not end
                answer.set_exception(failure)

    def start(self, request: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._requests.put((request, answer))
        return answer.result(_START_DEADLINE_S)


class _ThisProcess:
    """The starting thread of this process. A fork copies no threads, so a forked process gets its own."""

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._thread: _StartingThread | None = None

    @property
    def thread(self) -> _StartingThread:
        with self._lock:
            if self._thread is None:
                self._thread = _StartingThread()
            return self._thread


_this_process = _ThisProcess()


def needed_program(name: str, *, package: str) -> str:
    """The path of a system program. Raises `BinaryMissing` with the name of its package."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        raise BinaryMissing(
            name,
            f"the program `{name}` is not on the PATH",
            advice=f"Install your distribution's package {package}, or set external servers in the settings.",
        )
    return path


def spawn(
    argv: Sequence[str],
    *,
    output: IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    most_memory: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` in its own session, with `death_signal` for the death of its parent.

    Both output streams go to `output`; input is empty. In its own session it does not receive the terminal's Ctrl-C,
    so servers do not end before their users. It gets no more than `most_memory` bytes of address space. Raises
    `BinaryMissing` where setpriv, prlimit or the program is absent.
    """
    if most_memory is not None:
        argv = [needed_program("prlimit", package="util-linux"), f"--as={most_memory}", "--", *argv]
    setpriv = needed_program("setpriv", package="util-linux")
    command = [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG"), "--", *argv]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )

    return _this_process.thread.start(start)


def wait(child: subprocess.Popen[bytes], *, deadline_s: float) -> int:
    """The return code of a child that ends by itself. It is killed after `deadline_s`."""
    try:
        return child.wait(deadline_s)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait(deadline_s)


def ends_within(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """True if the child ends by itself within that many wall seconds."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def end(child: subprocess.Popen[bytes], *, stop_signal: signal.Signals, deadline_s: float) -> int:
    """Send `stop_signal`, kill the child after `deadline_s` wall seconds, and return its return code."""
    if child.poll() is None:
        child.send_signal(stop_signal)
    return wait(child, deadline_s=deadline_s)
