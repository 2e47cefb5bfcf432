"""Connections to NATS: the one function that opens them, with the same options for every process (ADR 0054)."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from nats.aio.client import Client

log = structlog.get_logger("nats")

CONNECT_TIMEOUT_S = 2.0
"""For one server; a server that hangs accepts the TCP connection and then sends nothing."""
RECONNECT_WAIT_S = 0.25
"""Between two attempts at the same server."""
PING_INTERVAL_S = 5.0
MAX_OUTSTANDING_PINGS = 2
"""A server that hangs is noticed at the third interval: after 10 to 15 s."""

WORKER_USERS = "gridproof."
"""How the names of the embedded server's users for workers begin: each may read its own inboxes only."""


async def connect(
    urls: str, *, name: str, keep_trying: bool = True, timeout_s: float = CONNECT_TIMEOUT_S
) -> Client:
    """Connect to one of the servers in `urls`, a list separated by commas; `name` is shown by the server.

    With `keep_trying` this waits until a server answers, and the client reconnects for as long as it lives. Without,
    every server gets two attempts, for a caller that reports the failure: raises nats.errors.NoServersError.
    """
    client = Client()
    addresses = [url.strip() for url in urls.split(",")]
    events = _ConnectionLog(client, name, failures_logged=keep_trying)
    options: dict[str, Any] = {
        "name": name,
        "connect_timeout": timeout_s,
        "reconnect_time_wait": RECONNECT_WAIT_S,
        "max_reconnect_attempts": -1 if keep_trying else 1,
        "ping_interval": PING_INTERVAL_S,
        "max_outstanding_pings": MAX_OUTSTANDING_PINGS,
        "error_cb": events.failed,
        "disconnected_cb": events.disconnected,
        "reconnected_cb": events.reconnected,
    }
    user = unquote(urlsplit(addresses[0]).username or "")
    if user.startswith(WORKER_USERS):
        options["inbox_prefix"] = f"_INBOX.{user.removeprefix(WORKER_USERS)}"
    await client.connect(addresses, **options)
    events.connected()
    return client


class _ConnectionLog:
    """Logs errors, disconnections and reconnections of one client."""

    def __init__(self, client: Client, name: str, *, failures_logged: bool) -> None:
        self._client = client
        self._log = log.bind(client=name)
        self._failures_logged = failures_logged
        self._logged_error = ""
        self._earlier_error: Exception | None = None

    async def failed(self, error: Exception) -> None:
        """Logs an error once per outage: every attempt to reconnect reports it again."""
        if self._failures_logged and repr(error) != self._logged_error:
            self._logged_error = repr(error)
            self._log.warning("nats error", error=repr(error))

    async def disconnected(self) -> None:
        """Logs nothing where the owner closed the client."""
        if not self._client.is_closed or self._client.last_error is not self._earlier_error:
            self._log.warning("disconnected from nats", closed=self._client.is_closed)

    async def reconnected(self) -> None:
        self.connected()
        self._log.info("reconnected to nats")

    def connected(self) -> None:
        self._logged_error, self._earlier_error = "", self._client.last_error
