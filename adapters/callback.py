"""Callbacks to utilities over HTTP: signed, limited in time and size, and never sent to a private address."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable, Collection
from uuid import UUID

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from adapters.bounded_connector import BoundedConnector
from adapters.checked_resolver import CheckedResolver
from adapters.resilience import BreakerOpen, NamedBreakers, guarded
from adapters.tls import plain_hint, tls_problem
from application.access.signature import SIGNATURE_HEADER, sign_body
from application.command_bus.spans import outgoing_traceparent, traced
from application.command_bus.trace_context import span_id_of
from application.ports.callback import (
    CallbackAccepted,
    CallbackAddressRefused,
    CallbackFailed,
    check_status,
)
from application.ports.clock import Clock
from application.public_address import Address, is_public

CONNECT_S, TOTAL_S = 10.0, 30.0
"""Clock seconds."""
LEAST_WALL_S = 1.0
"""The minimum on an accelerated clock: a call still takes as long as the network takes."""
BREAKER_FAILURES, BREAKER_OPEN_S = 5, 60.0
MAX_HOSTS = 1_000
"""The maximum number of breakers; utilities choose the host names."""
CHECKPOINT_WITHIN_S = 1.0
"""The longest wait for the newest checkpoint; without it, the callback carries none."""
DETAIL_BYTES, DETAIL_CHARACTERS = 2_048, 200
DEFAULT_PORTS = frozenset({80, 443, 8443})
NOT_PUBLIC = "its address is not public"


class HttpUtilityNotifier:
    """At most `concurrent_calls` at once. A host that fails five times in a row is not called for a minute.

    `secret_of` returns the secret that signs a utility's callbacks, None where none was agreed, and raises ValueError
    where it is unavailable. `newest_checkpoint` returns number and digest of the ledger's newest checkpoint as
    NUMBER:DIGEST, for the utility to keep; None where there is none, or it cannot be read.
    `tls`: of the connections to https addresses; None trusts the machine's authorities. `resolver` replaces the
    system's name resolution.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        secret_of: Callable[[str], bytes | None],
        newest_checkpoint: Callable[[], str | None] = lambda: None,
        allow_private: bool = False,
        ports: Collection[int] = DEFAULT_PORTS,
        concurrent_calls: int = 128,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._tls = tls
        self._clock = clock
        self._secret_of = secret_of
        self._newest_checkpoint = newest_checkpoint
        self._allow_private = allow_private
        self._ports = ports
        self._calls = asyncio.Semaphore(concurrent_calls)
        self._resolver = resolver
        self._breakers = NamedBreakers(
            threshold=BREAKER_FAILURES, open_s=self._wall_s(BREAKER_OPEN_S), max_names=MAX_HOSTS
        )
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str
    ) -> CallbackAccepted:
        target = _target(url)
        if not self._allow_private:
            _check_port(target, self._ports)
            _check_literal(str(target.host))
        headers = {
            "Content-Type": "application/json",
            "X-Callback-Id": str(callback_id),
            **await self._signature(utility_id, body.encode()),
            **await self._witnessed(),
        }
        host = f"{target.host}:{target.port}"
        async with self._calls:
            try:
                with (
                    guarded(self._breakers.of(host), failures=(CallbackFailed,)),
                    traced("POST callback", trace_id, parent_id=span_id_of(callback_id), kind="client"),
                ):
                    headers["traceparent"] = str(outgoing_traceparent())
                    return await self._post(target, body.encode(), headers)
            except BreakerOpen as error:
                raise CallbackFailed("breaker open: its host failed too often", host) from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _signature(self, utility_id: str, body: bytes) -> dict[str, str]:
        try:
            secret = await asyncio.to_thread(self._secret_of, utility_id)
        except ValueError as error:
            raise CallbackFailed("the secret that signs its callbacks is unavailable", str(error)) from error
        if secret is None:
            return {}
        return {SIGNATURE_HEADER: sign_body(secret, body, at=self._clock.now())}

    async def _witnessed(self) -> dict[str, str]:
        try:
            checkpoint = await asyncio.wait_for(
                asyncio.to_thread(self._newest_checkpoint), CHECKPOINT_WITHIN_S
            )
        except TimeoutError:
            return {}
        return {} if checkpoint is None else {"X-Ledger-Checkpoint": checkpoint}

    async def _post(self, target: URL, body: bytes, headers: dict[str, str]) -> CallbackAccepted:
        timeout = aiohttp.ClientTimeout(total=self._wall_s(TOTAL_S), sock_connect=self._wall_s(CONNECT_S))
        try:
            async with self._open().post(
                target, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                detail = "" if response.ok else await _detail(response)
                return check_status(response.status, detail)
        except aiohttp.InvalidURL as error:
            raise CallbackAddressRefused("it is no address", str(error)) from error
        except TimeoutError as error:
            raise CallbackFailed("no complete answer within the limit") from error
        except (aiohttp.ClientError, OSError) as error:
            detail = tls_problem(error) or f"{type(error).__name__}: {error}"
            if target.scheme == "http" and not isinstance(error, aiohttp.ClientConnectorError):
                detail += f"; {plain_hint('https')}"
            raise CallbackFailed("no connection, or no HTTP answer", detail) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = self._resolver or aiohttp.ThreadedResolver()
            if not self._allow_private:
                resolver = CheckedResolver(resolver, lambda _, address: check_public(address))
            self._session = aiohttp.ClientSession(
                # A new connection for each call, so that the address that was checked is the one that is called.
                connector=BoundedConnector(
                    resolver=resolver,
                    ssl=self._tls or True,
                    use_dns_cache=False,
                    force_close=True,
                    limit=0,
                ),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "gridproof"},
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    def _wall_s(self, clock_s: float) -> float:
        return max(LEAST_WALL_S, self._clock.wall_seconds(clock_s))


def check_public(address: Address) -> None:
    """Raises CallbackAddressRefused unless `address` is a public unicast address, also behind a translation."""
    if not is_public(address):
        raise CallbackAddressRefused(NOT_PUBLIC, f"{address}; see GRIDPROOF_ALLOW_PRIVATE_CALLBACKS")


def _check_port(target: URL, ports: Collection[int]) -> None:
    if target.port not in ports:
        allowed = ", ".join(map(str, sorted(ports)))
        raise CallbackAddressRefused(f"its port is none of {allowed}", "see GRIDPROOF_CALLBACK_PORTS")


def _check_literal(host: str) -> None:
    """Checks literal addresses, which never reach a resolver."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return
    check_public(address)


def _target(url: str) -> URL:
    try:
        target = URL(url)
        if target.scheme in ("http", "https") and target.host and target.port and target.user is None:
            return target
    except ValueError as error:
        raise CallbackAddressRefused("it is no address", str(error)) from error
    raise CallbackAddressRefused("it is not of the form http(s)://HOST/PATH without a user name")


async def _detail(response: aiohttp.ClientResponse) -> str:
    """The beginning of the body of a refusal, as plain text."""
    try:
        raw = await response.content.read(DETAIL_BYTES)
    except (aiohttp.ClientError, OSError):
        return ""  # the status is sufficient
    text = raw.decode("ascii", errors="replace")
    return "".join(c if c.isprintable() else " " for c in text)[:DETAIL_CHARACTERS].strip()
