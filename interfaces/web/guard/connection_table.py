"""The open connections of a web process: how many one client address may have, and which one ends for a new one."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Protocol

from interfaces.web.authentication.client_address import client_network

MOST_CONNECTIONS = 4_000
"""Including streams, whose own limit leaves room for requests."""
MOST_PER_ADDRESS = 1_500


class Connection(Protocol):
    """A connection that can be closed while it is idle."""

    def close_idle(self) -> None: ...


@dataclass
class _Share:
    """The connections of one client network."""

    count: int = 0
    idle: dict[Connection, None] = field(default_factory=dict)
    """Those without a request under way, the longest idle first."""


class ConnectionTable:
    """For one event loop. A connection is idle while no request of it is being answered, also while one arrives, and
    while its client does not read the response.

    A new connection above a bound closes the one that has been idle longest: of its own client where that has its
    share, else of all. It is refused only while every one of them is being answered.
    """

    def __init__(
        self,
        *,
        most: int = MOST_CONNECTIONS,
        most_per_address: int = MOST_PER_ADDRESS,
        proxies: Container[str] = frozenset(),
    ) -> None:
        """`proxies`: addresses without a bound of their own, since many clients connect from them."""
        self._most = most
        self._most_per_address = most_per_address
        self._proxies = proxies
        self._open: dict[Connection, str] = {}
        self._idle: dict[Connection, None] = {}
        self._shares: dict[str, _Share] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def is_crowded(self) -> bool:
        """True if more than half of the connections are taken: idle ones are then closed sooner."""
        return 2 * len(self._open) > self._most

    def admit(self, connection: Connection, host: str) -> bool:
        """Count a new, idle connection from `host`. False if it has to be refused."""
        network = client_network(host)
        share = self._shares.get(network) or _Share()
        if host not in self._proxies and share.count >= self._most_per_address:
            admitted = self._close_oldest(share.idle)
        else:
            admitted = len(self._open) < self._most or self._close_oldest(self._idle)
        if not admitted:
            return False
        share = self._shares.setdefault(network, share)
        share.count += 1
        self._open[connection] = network
        self._idle[connection] = share.idle[connection] = None
        return True

    def set_busy(self, connection: Connection) -> None:
        """A request is being answered."""
        if (network := self._open.get(connection)) is not None:
            self._idle.pop(connection, None)
            self._shares[network].idle.pop(connection, None)

    def set_idle(self, connection: Connection) -> None:
        """Its requests are answered."""
        if (network := self._open.get(connection)) is not None:
            self._idle[connection] = self._shares[network].idle[connection] = None

    def remove(self, connection: Connection) -> None:
        """It has ended. Does nothing for one that is not counted."""
        network = self._open.pop(connection, None)
        if network is None:
            return
        share = self._shares[network]
        share.count -= 1
        self._idle.pop(connection, None)
        share.idle.pop(connection, None)
        if share.count == 0:
            del self._shares[network]

    def _close_oldest(self, idle: dict[Connection, None]) -> bool:
        oldest = next(iter(idle), None)
        if oldest is None:
            return False
        self.remove(oldest)
        oldest.close_idle()
        return True
