"""Which server the database is on: after a failover it is another one."""

from typing import Protocol

import msgspec


class ServerPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where writes go to. Two places are equal exactly if nothing failed over in between."""

    address: str
    """Host and port as the server itself knows them."""
    timeline: int
    """Counted up with each promotion of a standby."""


class DatabaseServer(Protocol):
    """Synchronous."""

    def place(self) -> ServerPlace:
        """Raises OperationsUnavailable where no server takes writes."""
        ...
