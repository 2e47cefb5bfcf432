"""What can be asked about a running system: queues, rebuilds, sessions and locks."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Literal, Protocol

import msgspec

QueueName = Literal["bms_commands", "callbacks", "telemetry"]


class QueuesUnavailable(ConnectionError):
    """The queues cannot be asked now."""


class QueueDepth(msgspec.Struct, frozen=True, kw_only=True):
    """One queue between processes."""

    name: QueueName
    waiting: int
    """Messages that nobody has acknowledged yet, those in somebody's hands included."""
    bytes: int
    """What the stream holds; of telemetry also what waits only for the archive."""
    most_bytes: int | None
    """Where it is full; None: unbounded."""
    oldest_s: float | None
    """Wall seconds for which the oldest waits; None: nothing waits, or the queue does not know."""


class Queues(Protocol):
    async def depths(self) -> tuple[QueueDepth, ...]:
        """Those that there are. Raises QueuesUnavailable."""
        ...


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """A read model that is being made anew, beside the live one."""

    name: str
    position: int
    """How far the log is folded."""
    up_to: int
    domain_events: int
    rows: int
    started_at: datetime


class SystemState(Protocol):
    """Synchronous. Every method raises OperationsUnavailable."""

    def rebuilds(self) -> list[Rebuild]:
        """Those begun and not ended, be it that they wait for somebody to go on with them."""
        ...

    def sessions(self) -> Mapping[str, int]:
        """How many sessions of ours the database has, by the name that they give themselves."""
        ...

    def held(self, locks: Collection[str]) -> frozenset[str]:
        """Those of the named locks (application.ports.coordination.locks) that somebody holds."""
        ...
