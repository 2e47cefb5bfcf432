"""Supervisor: starts worker processes, writes their logs to files, and restarts processes that exit.

All durations here are wall-clock seconds, since they concern operating-system processes.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

_log = logging.getLogger(__name__)

_CHECK_EVERY_S = 0.05


class Spawn(Protocol):
    """Starts a process in its own process group. It is killed when this process dies."""

    def __call__(
        self, argv: Sequence[str], *, output: IO[bytes], env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]: ...


@dataclass(frozen=True)
class RestartPolicy:
    """The pause before a restart doubles from `first_s` to `longest_s`, and is reset after a run of `healthy_s`.

    After `most_in_a_row` restarts without a run of `healthy_s` the child is not restarted again.
    """

    first_s: float = 0.1
    longest_s: float = 10.0
    healthy_s: float = 30.0
    most_in_a_row: int = 20

    def pause_s(self, in_a_row: int) -> float:
        return float(min(self.longest_s, self.first_s * 2 ** min(in_a_row, 30)))


@dataclass
class _Child:
    name: str
    argv: list[str]
    env: dict[str, str] | None
    log: Path
    process: subprocess.Popen[bytes] | None = None
    returncode: int | None = None
    started_at: float = 0.0
    restart_at: float | None = None
    """When to restart it, by the monotonic clock; None while it runs or is given up."""
    in_a_row: int = 0
    restarts: int = 0


def _nothing(name: str, returncode: int) -> None:
    return


class Supervisor:
    """Child processes by name. Use as a context manager, or call `stop`; thread-safe.

    `on_restart(name, returncode)` is called after a restart of a child that exited with `returncode` (negative: the
    signal), `on_given_up` when it is not restarted again. Both are called from the supervisor's thread.
    """

    def __init__(
        self,
        spawn: Spawn,
        logs_dir: Path,
        *,
        policy: RestartPolicy | None = None,
        on_restart: Callable[[str, int], None] = _nothing,
        on_given_up: Callable[[str, int], None] = _nothing,
    ) -> None:
        self._spawn = spawn
        self._logs_dir = logs_dir
        self._policy = policy or RestartPolicy()
        self._on_restart = on_restart
        self._on_given_up = on_given_up
        self._children: dict[str, _Child] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._monitor, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> int:
        """Start a child; returns the pid. `env` is its whole environment (None: ours). Log: `<logs_dir>/<name>.log`."""
        with self._lock:
            if self._stopping.is_set():
                raise RuntimeError(f"the supervisor is stopping and does not start {name}")
            if name in self._children:
                raise ValueError(f"there is a child called {name} already")
            self._logs_dir.mkdir(parents=True, exist_ok=True)
            log = self._logs_dir / f"{name}.log"
            child = _Child(name, list(argv), dict(env) if env is not None else None, log)
            pid = self._run(child)
            self._children[name] = child
            return pid

    def _run(self, child: _Child) -> int:
        with child.log.open("ab") as output:
            child.process = self._spawn(child.argv, output=output, env=child.env)
        child.started_at, child.restart_at = time.monotonic(), None
        return child.process.pid

    def names(self) -> list[str]:
        with self._lock:
            return list(self._children)

    def pid_of(self, name: str) -> int | None:
        """The pid of the running child; None while it is down. Raises KeyError for a name that was never started."""
        with self._lock:
            process = self._children[name].process
            return process.pid if process is not None and not _has_ended(process) else None

    def restarts(self, name: str) -> int:
        """The number of restarts. Raises KeyError for a name that was never started."""
        with self._lock:
            return self._children[name].restarts

    def _monitor(self) -> None:
        while not self._stopping.wait(_CHECK_EVERY_S):
            with self._lock:
                children = [] if self._stopping.is_set() else list(self._children.values())
                callbacks = [one for child in children for one in self._check(child)]
            for callback in callbacks:  # outside the lock: a callback may call the supervisor
                _call(callback)

    def _check(self, child: _Child) -> list[Callable[[], None]]:
        """Restart the child if it has ended and is due; returns the callbacks to call."""
        name, process = child.name, child.process
        if process is not None and _has_ended(process):
            returncode = child.returncode = _reap(process)
            child.process = None
            if not self._plan_restart(child):
                return [lambda: self._on_given_up(name, returncode)]
        elif child.restart_at is not None and time.monotonic() >= child.restart_at:
            return self._restart(child)
        return []

    def _plan_restart(self, child: _Child) -> bool:
        """Schedule the restart; returns False if the child is not restarted again."""
        if time.monotonic() - child.started_at >= self._policy.healthy_s:
            child.in_a_row = 0
        if child.in_a_row >= self._policy.most_in_a_row:
            child.restart_at = None
            return False
        child.restart_at = time.monotonic() + self._policy.pause_s(child.in_a_row)
        child.in_a_row += 1
        return True

    def _restart(self, child: _Child) -> list[Callable[[], None]]:
        name, returncode = child.name, child.returncode or 0
        try:
            self._run(child)
        except Exception:  # noqa: BLE001 - any error counts as a failed restart
            _log.exception("%s could not be restarted", name)
            child.started_at = time.monotonic()
            return [] if self._plan_restart(child) else [lambda: self._on_given_up(name, returncode)]
        child.restarts += 1
        return [lambda: self._on_restart(name, returncode)]

    def stop(self, *, deadline_s: float = 10.0) -> dict[str, int]:
        """Send SIGTERM to all, and SIGKILL after `deadline_s`; returns the return codes by name. Idempotent."""
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        with self._lock:
            running = {
                name: child.process for name, child in self._children.items() if child.process is not None
            }
            for process in running.values():
                if not _has_ended(process):
                    process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + deadline_s
            while time.monotonic() < deadline and not all(map(_has_ended, running.values())):
                time.sleep(0.01)
            for name, process in running.items():
                self._children[name].returncode = _reap(process)
                self._children[name].process = None
            return {name: child.returncode or 0 for name, child in self._children.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """True if the process has ended. It is not reaped, so that its process group id is not reused."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _reap(process: subprocess.Popen[bytes]) -> int:
    """Kill the rest of the process group and reap the child; returns its return code."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait(10.0)


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 - a faulty callback must not end the supervision
        _log.exception("a callback of the supervisor failed; supervision continues")
