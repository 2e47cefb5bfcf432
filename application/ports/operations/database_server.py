"""The server that the database runs on: it changes with a failover."""

from typing import Protocol

import msgspec


class ServerIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The server that takes writes. Two identities are equal exactly if no failover happened in between."""

    address: str
    """Host and port as the server itself reports them."""
    timeline: int
    """Incremented by each promotion of a standby."""


class Standbys(msgspec.Struct, frozen=True, kw_only=True):
    """The standbys of the server that takes writes."""

    attached: int
    """That receive its log now."""
    synchronous: bool
    """Whether commits wait for one of them."""


class DatabaseServer(Protocol):
    """Synchronous."""

    def place(self) -> ServerIdentity:
        """Raises OperationsUnavailable where no server takes writes."""
        ...

    def standbys(self) -> Standbys:
        """Raises OperationsUnavailable where no server takes writes."""
        ...

    def replaced(self) -> list[ServerIdentity]:
        """The hosts of the address that take writes although another of them is on a newer timeline. The address is the
        one that a client uses. A host that does not answer is left out, after some seconds."""
        ...
