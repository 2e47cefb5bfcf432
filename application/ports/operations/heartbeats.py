"""Heartbeats: which processes run, what they can reach, and what a process that died still holds."""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

import msgspec


class Process(NamedTuple):
    worker: str
    """As in `gridproof worker NAME`."""
    host: str
    pid: int


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The last one of a process."""

    process: Process
    age_s: float
    """Wall seconds, by the database's clock."""
    backends: tuple[int, ...]
    """The server processes of its database sessions."""
    dependencies: dict[str, str | None]
    """Name -> the problem with it; None: it is up."""


class ConnectionUse(NamedTuple):
    """Sessions of the database server."""

    used: int
    most: int
    """Without those reserved for superusers."""


class Heartbeats(Protocol):
    """Synchronous. Every method raises OperationsUnavailable."""

    def beat(
        self, process: Process, *, backends: Collection[int], dependencies: Mapping[str, str | None]
    ) -> None:
        """Say that the process runs."""
        ...

    def end(self, process: Process) -> None:
        """The process ends by itself."""
        ...

    def listed(self) -> list[Heartbeat]:
        """The last heartbeat of each process that runs or died without a word."""
        ...

    def forget(self, *, older_than_s: float) -> None:
        """Delete the heartbeats of processes that died so long ago."""
        ...

    def locks_held(self, backends: Collection[int]) -> Mapping[int, int]:
        """How many advisory locks each of these holds; those that hold none are missing."""
        ...

    def connection_use(self) -> ConnectionUse: ...
