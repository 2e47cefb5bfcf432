"""What every embedded server has in common: start, wait until it answers, stop, kill, start again."""

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
    EarlierStillEnding,
    EmbeddedServerError,
    ForeignServer,
    PortTaken,
    ServerExited,
    ServerNotReady,
)
from adapters.embedded.loopback import free_port

_POLL_S = 0.01
_TRY_AGAIN_S = 0.1
_GRACE_S = 2.0
_TRIES_FOR_A_FREE_PORT = 5


class EmbeddedServer(ABC):
    """One server as a child process on loopback ports. `start`, `stop` and `kill` wait for each other."""

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
        """By port name; drawn at the first start and kept for every start after it."""
        self.child: subprocess.Popen[bytes] | None = None
        self._kept = {name: port for name, port in (fixed_ports or {}).items() if name in self.port_names}
        self._start_deadline_s = start_deadline_s
        self._stop_deadline_s = stop_deadline_s
        self._log_since = 0
        self._one_at_a_time = threading.RLock()

    @abstractmethod
    def prepare(self) -> None:
        """Whatever must be on the disk before the program runs; called before each start."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program with its arguments, for the ports in `self.ports`."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server is ready. Raises `ForeignServer` where another than ours has the port."""

    @abstractmethod
    def working_folder(self) -> Path:
        """Where the process runs, by which what is left of it after kill -9 is found."""

    @abstractmethod
    def program(self) -> Path:
        """The file of the program."""

    def settle(self) -> None:
        """What is done once the server answers; must be repeatable."""
        return

    @property
    def log(self) -> Path:
        return self.data.log(self.name)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.child.pid if self.child is not None and self.child.poll() is None else None

    def start(self) -> None:
        """Start and wait until it answers; does nothing while it runs.

        Ports drawn here are drawn again when somebody else takes them first; ports that were asked for, or
        that others already know, are not. Raises an `EmbeddedServerError`; then nothing is left running.
        """
        with self._one_at_a_time:
            if self.pid is None:
                self._start()

    def _start(self) -> None:
        """A process that is about to end is no longer found as one of ours, and holds for a moment what it had."""
        deadline = time.monotonic() + self._start_deadline_s
        while True:
            orphans.end_all(self.working_folder(), self.program().resolve().name, self.stop_signal)
            try:
                self._start_on_free_ports()
            except EarlierStillEnding:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_TRY_AGAIN_S)
            else:
                return

    def _start_on_free_ports(self) -> None:
        self._prepare()
        for attempt in range(1, _TRIES_FOR_A_FREE_PORT + 1):
            self.ports = {**self._drawn_ports(again=attempt > 1), **self._kept}
            try:
                self._start_once()
            except (PortTaken, ForeignServer):
                if self._kept or attempt == _TRIES_FOR_A_FREE_PORT:
                    raise
            else:
                self._kept = self.ports
                self.data.remember_ports(self.ports)
                return

    def _prepare(self) -> None:
        try:
            self.prepare()
        except OSError as failure:
            raise self._failure(DiskUnusable, f"its files cannot be used ({failure})") from failure

    def _drawn_ports(self, *, again: bool) -> dict[str, int]:
        return {name: free_port(None if again else self.data.last_port(name)) for name in self.port_names}

    def _start_once(self) -> None:
        log_file.bound(self.log)
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
            self.settle()
        except OSError as failure:
            self.kill()
            raise self._failure(DiskUnusable, f"its files cannot be used ({failure})") from failure
        except BaseException:
            self.kill()
            raise

    def environment(self) -> dict[str, str]:
        """A fixed environment: settings of the caller's shell must not change what the server does."""
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def _await_answer(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_deadline_s
        while not self._answers_as_ours(child):
            if time.monotonic() > deadline:
                raise self._failure(ServerNotReady, f"it did not answer within {self._start_deadline_s:g} s")
            time.sleep(_POLL_S)

    def _answers_as_ours(self, child: subprocess.Popen[bytes]) -> bool:
        """Whether it is ready. Raises the named error where it has ended, or cannot get its port."""
        self._raise_if_ended(child)
        try:
            ready = self.answers()
        except ForeignServer:
            # Most often ours is about to end, since its port is taken: that says more.
            if not child_process.ends_within(child, _GRACE_S):
                raise
            ready = False
        self._raise_if_ended(child)
        return ready

    def _raise_if_ended(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is not None:
            raise self._exited(child.returncode)

    def _exited(self, returncode: int) -> EmbeddedServerError:
        """The named error for what the log says about the end of the process."""
        said = self.log_tail().lower()
        if "address already in use" in said:
            return self._failure(PortTaken, f"somebody else listens on a port of its ({self._ports_text()})")
        if "no space left on device" in said:
            return self._failure(DiskUnusable, f"the disk of {self.data.path} is full")
        if "permission denied" in said or "read-only file system" in said:
            return self._failure(DiskUnusable, f"its files under {self.data.path} cannot be used")
        if "pre-existing shared memory block" in said:
            return self._failure(EarlierStillEnding, "a process of its that was killed has not ended yet")
        return self._failure(ServerExited, f"it ended with status {returncode}")

    def _failure(self, kind: type[EmbeddedServerError], text: str) -> EmbeddedServerError:
        advice = {
            PortTaken: "End the other program, or choose other ports.",
            DiskUnusable: "Check free space, owner and mode, or set GRIDPROOF_DATA_DIR to another folder.",
            EarlierStillEnding: "End what is left of it by hand; its log names the shared memory.",
            ServerNotReady: "The machine may be overloaded; see the log and try again.",
        }.get(kind, "See its log")
        return kind(self.name, text, advice=f"{advice} (log: {self.log})", log_tail=self.log_tail())

    def _ports_text(self) -> str:
        return ", ".join(f"{name} {port}" for name, port in self.ports.items())

    def log_tail(self) -> str:
        """The last lines that this start wrote to the log."""
        return log_file.tail(self.log, since=self._log_since)

    def stop(self) -> None:
        """End the server in good order, or by force after its deadline; idempotent."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """kill -9; `start` brings it up again on the same ports with what it had on the disk."""
        self._end(signal.SIGKILL)

    def _end(self, asking: signal.Signals) -> None:
        with self._one_at_a_time:
            if self.child is not None:
                child_process.end(self.child, asking=asking, deadline_s=self._stop_deadline_s)
                self.child = None

    def ended_by_itself(self) -> int | None:
        """The return code of a server that nobody stopped, killed or is just starting; else None."""
        with self._one_at_a_time:
            return self.child.poll() if self.child is not None else None


def remove_folder(folder: Path) -> None:
    """Remove what a start that was interrupted left half made."""
    if folder.exists():
        shutil.rmtree(folder)
