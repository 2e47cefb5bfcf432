"""The state of a running system: queues, rebuilds, sessions and locks."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Literal, Protocol

import msgspec

QueueName = Literal["bms_commands", "callbacks", "telemetry"]


class QueuesUnavailable(ConnectionError):
    """The queues cannot be queried now."""


class QueueDepth(msgspec.Struct, frozen=True, kw_only=True):
    """A queue between processes."""

    name: QueueName
    waiting: int
    """Rows of open work, or unacknowledged messages, including those that are being processed."""
    bytes: int | None
    """The size of the stream, including messages that only wait for the archive; None: rows of the database."""
    most_bytes: int | None
    """The size limit; None: unbounded."""
    oldest_s: float | None
    """The age of the oldest recorded intent that waits, in clock seconds; None: none waits, or the age is not
    available."""


class Queues(Protocol):
    async def depths(self) -> tuple[QueueDepth, ...]:
        """The queues that exist. Raises QueuesUnavailable."""
        ...


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """A read model that is being rebuilt beside the live one."""

    name: str
    position: int
    """How far the log is applied."""
    up_to: int
    domain_events: int
    rows: int
    started_at: datetime


class SystemState(Protocol):
    """Synchronous. Every method raises OperationsUnavailable."""

    def rebuilds(self) -> list[Rebuild]:
        """Rebuilds that were begun and have not ended, including interrupted ones."""
        ...

    def sessions(self) -> Mapping[str, int]:
        """The number of our database sessions, by application name."""
        ...

    def held(self, locks: Collection[str]) -> frozenset[str]:
        """The named locks (application.ports.coordination.locks) that are held."""
        ...
