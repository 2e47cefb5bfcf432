"""Connections to the cache, at one address or the first of several that answers (GRIDPROOF_REDIS_URL)."""

from __future__ import annotations

import ssl
import time
from typing import Any, TypeVar

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from adapters.tls import plain_hint, tls_problem

log = structlog.get_logger("cache")

AWAY_S = 5.0
"""How long an address that did not answer is tried after the others."""
RETURN_AFTER_S = 30.0
"""A connection to a later address is replaced after this time, so that all processes come back to the first: limits
that they share are counted there."""
_OF_AN_ADDRESS = frozenset({"connection_class", "host", "port", "db", "username", "password"})
TPool = TypeVar("TPool", bound=ConnectionPool)


def cache_pool(urls: str, kind: type[TPool], **options: Any) -> TPool:
    """A pool for `urls`, addresses with commas between them. Without retries: whoever asks has a fallback.

    What the first one has after a question mark, such as `ssl_ca_certs`, holds for all.
    """
    options["retry"] = Retry(NoBackoff(), 0)
    first, *others = (url.strip() for url in urls.split(","))
    secure = first.startswith("rediss:")
    if not others:
        options |= parse_url(first) | ({"connection_class": _SharedContextConnection} if secure else {})
        return kind(**options)
    addresses = CacheAddresses([first, *others])
    options |= {name: value for name, value in parse_url(first).items() if name not in _OF_AN_ADDRESS}
    return kind(
        connection_class=_ListedSSLConnection if secure else _ListedConnection,
        addresses=addresses,
        **options,
    )


async def check_addresses(urls: str, *, within_s: float = 1.0) -> str:
    """Ask the cache at each address, for `gridproof doctor`. Raises CacheNotReached where none answers."""
    answers: list[str] = []
    failures = 0
    parameters = urls.partition(",")[0].partition("?")[2]
    for number, url in enumerate(urls.split(","), start=1):
        address = url.strip().partition("?")[0] + (f"?{parameters}" if parameters else "")
        limits = {"socket_timeout": within_s, "socket_connect_timeout": within_s}
        client = Redis.from_pool(cache_pool(address, ConnectionPool, **limits))
        try:
            server = await client.info("server")
        except (RedisError, OSError, TimeoutError) as error:
            failures += 1
            answers.append(f"address {number} does not answer: {_problem(address, error)}")
        else:
            answers.append(str(server.get("valkey_version") or server.get("redis_version")))
        finally:
            await client.aclose()
    if failures == len(answers):
        raise CacheNotReached("; ".join(answers))
    return "; ".join(answers)


class CacheNotReached(ConnectionError):
    """No cache answers; the text says why."""


def _problem(address: str, error: Exception) -> str:
    """The text of the library's errors, which holds no password."""
    if (problem := tls_problem(error)) is not None:
        return problem
    reason = f"{type(error).__name__}: {error}"
    was_reached = isinstance(error, RedisError) and "connecting to" not in str(error)
    return f"{reason}; {plain_hint('rediss')}" if was_reached and address.startswith("redis:") else reason


class CacheAddresses:
    """The addresses of one pool, and which of them did not answer lately."""

    def __init__(self, urls: list[str]) -> None:
        self._options = [dict(parse_url(url)) for url in urls]
        self._away_until = [0.0] * len(urls)

    def in_order(self) -> list[int]:
        """The addresses that are not known to be away, in their order, then the others."""
        now = time.monotonic()
        return sorted(range(len(self._options)), key=lambda number: (self._away_until[number] > now, number))

    def options(self, number: int) -> dict[str, Any]:
        return self._options[number]

    def note_away(self, number: int, error: Exception) -> None:
        if self._away_until[number] <= time.monotonic():
            where = self._options[number]
            address = f"{where.get('host', 'localhost')}:{where.get('port', 6379)}"
            log.warning(
                "a cache does not answer, trying the next",
                cache=address,
                error=type(error).__name__,
                problem=tls_problem(error),
            )
        self._away_until[number] = time.monotonic() + AWAY_S


class _Listed(Connection):
    """Connects to the first of the addresses that answers, the login included."""

    def __init__(self, *, addresses: CacheAddresses, **options: Any) -> None:
        super().__init__(**options)
        self._addresses = addresses
        self._replace_at = float("inf")

    async def connect(self) -> None:
        if self.is_connected:
            if time.monotonic() < self._replace_at:
                return
            await self.disconnect()
        failure: Exception | None = None
        for number in self._addresses.in_order():
            where = self._addresses.options(number)
            self.host, self.port = where.get("host", "localhost"), where.get("port", 6379)
            self.db = where.get("db", 0)
            self.username, self.password = where.get("username"), where.get("password")
            try:
                await super().connect()  # type: ignore[no-untyped-call]
            except (RedisError, OSError, TimeoutError) as error:
                self._addresses.note_away(number, error)
                failure = error
            else:
                self._replace_at = time.monotonic() + RETURN_AFTER_S if number else float("inf")
                return
        if failure is not None:
            raise failure


class _ListedConnection(_Listed):
    """To addresses that begin with redis://."""


_contexts: dict[str, ssl.SSLContext] = {}
"""By their parameters. The library would make one for each connection, and so read the machine's authorities within the
time that is allowed for connecting."""


class _SharedContextConnection(SSLConnection):
    """To an address that begins with rediss://."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        given = self.ssl_context
        key = repr({name: getattr(given, name) for name in given.__slots__ if name != "context"})
        if key not in _contexts:
            _contexts[key] = given.get()
        given.context = _contexts[key]


class _ListedSSLConnection(_Listed, _SharedContextConnection):
    """To addresses that begin with rediss://."""
