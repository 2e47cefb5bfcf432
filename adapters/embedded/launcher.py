"""The base class of the embedded servers: start, wait until ready, stop, kill, start again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from adapters.embedded import child_process, log_file, orphans
from adapters.embedded.data_folder import DataFolder
from adapters.embedded.errors import (
    DiskUnusable,
    EmbeddedServerError,
    ForeignServer,
    PortTaken,
    PredecessorStillRunning,
    ServerExited,
    ServerNotReady,
)
from adapters.embedded.loopback import free_port

_POLL_S = 0.01
_TRY_AGAIN_S = 0.1
_GRACE_S = 2.0
_PORT_ATTEMPTS = 5
_FULL_DISK = ("no space left on device", "check free disk space")
"""The second is PostgreSQL's, where only a part of a page fitted."""


class EmbeddedServer(ABC):
    """A server as a child process on loopback ports. `start`, `stop` and `kill` exclude each other."""

    name: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(
        self,
        data: DataFolder,
        *,
        fixed_ports: Mapping[str, int] | None = None,
        start_deadline_s: float = 60.0,
        stop_deadline_s: float = 15.0,
    ) -> None:
        self.data = data
        self.ports: dict[str, int] = {}
        """By port name; chosen at the first start and unchanged after it."""
        self.child: subprocess.Popen[bytes] | None = None
        self._fixed_ports = {
            name: port for name, port in (fixed_ports or {}).items() if name in self.port_names
        }
        self._start_deadline_s = start_deadline_s
        self._stop_deadline_s = stop_deadline_s
        self._log_since = 0
        self._lock = threading.RLock()

    @abstractmethod
    def prepare(self) -> None:
        """Write the files that the program needs; called before each start."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program with its arguments, for the ports in `self.ports`."""

    @abstractmethod
    def answers(self) -> bool:
        """True if the server is ready. Raises `ForeignServer` where another server has the port."""

    @abstractmethod
    def working_folder(self) -> Path:
        """The working directory of the process. A process that outlived its launcher is found by it."""

    @abstractmethod
    def program(self) -> Path:
        """The file of the program."""

    def after_start(self) -> None:
        """Called once the server is ready; must be repeatable."""
        return

    def tend(self) -> None:
        """Called every few seconds while the server runs and is watched."""
        return

    @property
    def log(self) -> Path:
        return self.data.log(self.name)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.child.pid if self.child is not None and self.child.poll() is None else None

    def start(self) -> None:
        """Start and wait until the server is ready; does nothing while it runs.

        Where another program takes a chosen port first, another port is chosen. Ports that were requested, or used
        before, are not changed. Raises an `EmbeddedServerError`; then nothing is left running.
        """
        with self._lock:
            if self.pid is None:
                self._start()

    def _start(self) -> None:
        """Retries while a killed process of the server is no longer visible but still holds its memory."""
        deadline = time.monotonic() + self._start_deadline_s
        while True:
            orphans.end_all(self.working_folder(), self.program().resolve().name, self.stop_signal)
            try:
                self._start_on_free_ports()
            except PredecessorStillRunning:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_TRY_AGAIN_S)
            else:
                return

    def _start_on_free_ports(self) -> None:
        self._prepare()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.ports = {**self._choose_ports(again=attempt > 1), **self._fixed_ports}
            try:
                self._start_once()
            except (PortTaken, ForeignServer):
                if self._fixed_ports or attempt == _PORT_ATTEMPTS:
                    raise
            else:
                self._fixed_ports = self.ports
                self.data.save_ports(self.ports)
                return

    def _prepare(self) -> None:
        try:
            self.prepare()
        except OSError as failure:
            raise self._failure(DiskUnusable, f"its files cannot be used ({failure})") from failure

    def _choose_ports(self, *, again: bool) -> dict[str, int]:
        return {name: free_port(None if again else self.data.last_port(name)) for name in self.port_names}

    def _start_once(self) -> None:
        self._log_since = log_file.size_bytes(self.log)
        try:
            with self.log.open("ab") as output:
                self.child = child_process.spawn(
                    self.command(),
                    output=output,
                    env=self.environment(),
                    cwd=self.working_folder(),
                    death_signal=self.stop_signal,
                )
            self._await_answer(self.child)
            self.after_start()
        except OSError as failure:
            self.kill()
            raise self._failure(DiskUnusable, f"its files cannot be used ({failure})") from failure
        except BaseException:
            self.kill()
            raise

    def environment(self) -> dict[str, str]:
        """A fixed environment: variables of the caller's shell must not change the server."""
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def _await_answer(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_deadline_s
        while not self._answers_as_ours(child):
            if time.monotonic() > deadline:
                raise self._failure(ServerNotReady, f"it did not answer within {self._start_deadline_s:g} s")
            time.sleep(_POLL_S)

    def _answers_as_ours(self, child: subprocess.Popen[bytes]) -> bool:
        """True if it is ready. Raises the specific error where it has ended, or cannot get its port."""
        self._raise_if_ended(child)
        try:
            ready = self.answers()
        except ForeignServer:
            # Usually our server is about to end because its port is taken. Its log says more.
            if not child_process.ends_within(child, _GRACE_S):
                raise
            ready = False
        self._raise_if_ended(child)
        return ready

    def _raise_if_ended(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is not None:
            raise self._exit_error(child.returncode)

    def _exit_error(self, returncode: int) -> EmbeddedServerError:
        """The specific error for the end of the process, chosen by its log."""
        log_text = self.log_tail().lower()
        if "address already in use" in log_text:
            return self._failure(
                PortTaken, f"another program listens on one of its ports ({self._ports_text()})"
            )
        if any(words in log_text for words in _FULL_DISK):
            return self._failure(DiskUnusable, f"the disk of {self.data.path} is full")
        if "permission denied" in log_text or "read-only file system" in log_text:
            return self._failure(DiskUnusable, f"its files under {self.data.path} cannot be used")
        if "pre-existing shared memory block" in log_text:
            return self._failure(
                PredecessorStillRunning, "a process of an earlier start was killed and has not ended yet"
            )
        return self._failure(ServerExited, f"it ended with status {returncode}")

    def _failure(self, kind: type[EmbeddedServerError], text: str) -> EmbeddedServerError:
        advice = {
            PortTaken: "End the other program, or choose other ports.",
            DiskUnusable: "Check free space, owner and mode, or set GRIDPROOF_DATA_DIR to another folder.",
            PredecessorStillRunning: "End its remaining processes by hand; its log names the shared memory.",
            ServerNotReady: "The machine may be overloaded; see the log and try again.",
        }.get(kind, "See its log")
        return kind(self.name, text, advice=f"{advice} (log: {self.log})", log_tail=self.log_tail())

    def _ports_text(self) -> str:
        return ", ".join(f"{name} {port}" for name, port in self.ports.items())

    def log_tail(self) -> str:
        """The last lines that this start wrote to the log."""
        return log_file.tail(self.log, since=self._log_since)

    def log_of_start(self) -> str:
        """All that this start wrote to the log."""
        with self.log.open("rb") as log:
            log.seek(self._log_since)
            return log.read().decode("utf-8", "replace")

    def stop(self) -> None:
        """Stop the server; by SIGKILL after its deadline. Idempotent."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """kill -9. `start` starts it again on the same ports with its data."""
        self._end(signal.SIGKILL)

    def _end(self, stop_signal: signal.Signals) -> None:
        with self._lock:
            if self.child is not None:
                child_process.end(self.child, stop_signal=stop_signal, deadline_s=self._stop_deadline_s)
                self.child = None

    def ended_by_itself(self) -> int | None:
        """The return code of a server that ended unexpectedly; else None."""
        with self._lock:
            return self.child.poll() if self.child is not None else None


def remove_folder(folder: Path) -> None:
    """Remove the incomplete folder of an interrupted start."""
    if folder.exists():
        shutil.rmtree(folder)
