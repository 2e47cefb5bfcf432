"""Connections to NATS: the one function that opens them, with the same options for every process (ADR 0054)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog
from nats.aio.client import Client
from nats.errors import Error, NoServersError

from adapters.tls import connection_problem, tls_context

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

    After a question mark the first address may have `ca_file`, which is trusted beside the machine's authorities, and
    `cert_file` with `key_file` of a client certificate; they hold for all. A server at tls:// gets a login over TLS
    only.

    With `keep_trying` this waits until a server answers, and the client reconnects for as long as it lives. Without,
    every server gets two attempts, for a caller that reports the failure: raises NoServerAnswers, a
    nats.errors.NoServersError. Raises TlsFilesError.
    """
    client = _Client()
    first, *others = (url.strip() for url in urls.split(","))
    addresses = [first.partition("?")[0], *others]
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
    if (tls := _tls_of(first)) is not None:
        options["tls"] = tls
    user = unquote(urlsplit(addresses[0]).username or "")
    if user.startswith(WORKER_USERS):
        options["inbox_prefix"] = f"_INBOX.{user.removeprefix(WORKER_USERS)}"
    try:
        await client.connect(addresses, **options)
    except NoServersError as error:
        raise NoServerAnswers(events.last_problem) from error
    events.connected()
    return client


class NoServerAnswers(NoServersError):
    """No server lets this client in; `problem` is why the last of them does not."""

    def __init__(self, problem: str) -> None:
        super().__init__()
        self._problem = problem

    def __str__(self) -> str:
        return f"{super().__str__()}: {self._problem}" if self._problem else super().__str__()


class ServerWithoutTls(Error):
    """A server at a tls:// address offers none. Nothing was sent to it."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"nats: the server at {place} speaks no TLS: give its configuration a tls block, or begin its address "
            "with nats:// where nobody can listen"
        )


class _Client(Client):
    """The library connects without TLS where the server does not ask for it, whatever the scheme of the address says:
    whoever is between them could take the login (ADR 0111). It also takes other servers' addresses from what comes
    before TLS; those that come after it count."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        server = self._current_server
        if initial_connection and server is not None and server.uri.scheme == "tls":
            if not (info.get("tls_required") or info.get("tls_available")):
                raise ServerWithoutTls(f"{server.uri.hostname}:{server.uri.port}")
            info["tls_required"] = True
            info.pop("connect_urls", None)
        await super()._process_info(info, initial_connection)

    async def _process_connect_init(self) -> None:
        """After a handshake that failed the library would wait for ever for the end of the stream, and try no more."""
        try:
            await super()._process_connect_init()
        except (OSError, TimeoutError, Error):
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]
                self._transport = None
            raise


def _tls_of(address: str) -> ssl.SSLContext | None:
    """None for an address without parameters: the library's own context verifies by the machine's authorities."""
    given = {name: Path(value) for name, value in parse_qsl(urlsplit(address).query)}
    if not given:
        return None
    return tls_context(
        also_ca_file=given.get("ca_file"), cert_file=given.get("cert_file"), key_file=given.get("key_file")
    )


class _ConnectionLog:
    """Logs errors, disconnections and reconnections of one client."""

    def __init__(self, client: Client, name: str, *, failures_logged: bool) -> None:
        self._client = client
        self._log = log.bind(client=name)
        self._failures_logged = failures_logged
        self._logged_error = ""
        self.last_problem = ""
        self._earlier_error: Exception | None = None

    async def failed(self, error: Exception) -> None:
        """Logs an error once per outage: every attempt to reconnect reports it again."""
        self.last_problem = connection_problem(error)
        if self._failures_logged and repr(error) != self._logged_error:
            self._logged_error = repr(error)
            self._log.warning("nats error", error=repr(error), problem=self.last_problem)

    async def disconnected(self) -> None:
        """Logs nothing where the owner closed the client."""
        if not self._client.is_closed or self._client.last_error is not self._earlier_error:
            self._log.warning("disconnected from nats", closed=self._client.is_closed)

    async def reconnected(self) -> None:
        self.connected()
        self._log.info("reconnected to nats")

    def connected(self) -> None:
        self._logged_error, self._earlier_error = "", self._client.last_error
