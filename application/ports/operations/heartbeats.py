"""Heartbeats: which processes run, what they can reach, and what a process that died still holds."""

from collections.abc import Callable, Collection, Mapping
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


class ConnectionRoom(NamedTuple):
    """The answer whether the connections of one more process fit, all by their budgets."""

    taken: int
    """By the processes that run."""
    wanted: int
    """By the one that begins."""
    most: int
    """What the server allows to them together."""

    @property
    def fits(self) -> bool:
        return self.taken + self.wanted <= self.most


MISSED_BEAT_S = 15.0
"""A process reports every ten seconds. One that has not for so long, and has no session, has died."""
SILENT_S = 60.0
"""After so long it is dead, whatever sessions the server still keeps for it. Wall seconds, both."""


def is_running(age_s: float, *, has_sessions: bool) -> bool:
    """True if the budget of a process counts, `age_s` after its last heartbeat.

    A heartbeat of the future is of a clock that was put right since.
    """
    return -MISSED_BEAT_S < age_s < (SILENT_S if has_sessions else MISSED_BEAT_S)


class Heartbeats(Protocol):
    """Synchronous. Every method raises OperationsUnavailable."""

    def beat(
        self, process: Process, *, backends: Collection[int], dependencies: Mapping[str, str | None]
    ) -> None:
        """Say that the process runs."""
        ...

    def admit(
        self, process: Process, *, backends: Collection[int], budget_of: Callable[[str], int], reserved: int
    ) -> ConnectionRoom:
        """Say that the process begins, if its connections fit beside those of the processes that run (`is_running`);
        else nothing is recorded. Of several that begin at once, no more are admitted than fit.

        `budget_of`: worker -> its connections at most. `reserved`: connections that no worker may count on, besides
        those that the server keeps for superusers."""
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
