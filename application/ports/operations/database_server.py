"""Which server the database runs on: it changes with a failover."""

from typing import Protocol

import msgspec


class ServerIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The server that takes writes. Two identities are equal exactly if no failover happened in between."""

    address: str
    """Host and port as the server itself reports them."""
    timeline: int
    """Incremented by each promotion of a standby."""


class DatabaseServer(Protocol):
    """Synchronous."""

    def place(self) -> ServerIdentity:
        """Raises OperationsUnavailable where no server takes writes."""
        ...
