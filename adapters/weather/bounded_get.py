"""A GET of a weather service: limited in time and size, retried where that may help, behind a circuit breaker."""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import aiohttp
import stamina
import structlog

from adapters.bounded_connector import BoundedConnector
from adapters.resilience import BreakerOpen, guarded, loop_time
from adapters.tls import plain_hint, tls_problem
from application.circuit_breaker import CircuitBreaker
from application.ports.clock import Clock
from application.ports.weather.source import WeatherUnavailable

TOTAL_S, LEAST_TOTAL_WALL_S = 10.0, 2.0
ATTEMPTS = 3
BREAKER_FAILURES, BREAKER_OPEN_S, LEAST_OPEN_WALL_S = 5, 60.0, 1.0
MAX_RESPONSE_BYTES = 1 << 21
"""Bytes; a month of WeatherAPI.com's hours is about 1 MB."""


_log = structlog.get_logger(__name__)


class HttpResponse(NamedTuple):
    status: int
    body: bytes


class TransientFailure(WeatherUnavailable):
    """A failure that may pass: the call is retried."""


def _no_reason(_: HttpResponse) -> str | None:
    return None


async def _no_check() -> None:
    """Checks nothing before an attempt."""


class BoundedGet:
    """Five transient failures in a row open the breaker for a minute of the clock; refusals do not count."""

    def __init__(
        self,
        clock: Clock,
        *,
        tls: ssl.SSLContext | None = None,
        before_attempt: Callable[[], Awaitable[None]] = _no_check,
        transient_reason: Callable[[HttpResponse], str | None] = _no_reason,
    ) -> None:
        """`tls`: None trusts the machine's authorities. `before_attempt` may raise to prevent an attempt.
        `transient_reason` says why a response is worth a retry, or None."""
        self.total_s = max(clock.wall_seconds(TOTAL_S), LEAST_TOTAL_WALL_S)
        self._tls = tls
        self._before_attempt = before_attempt
        self._transient_reason = transient_reason
        self._breaker = CircuitBreaker(
            threshold=BREAKER_FAILURES,
            open_s=max(clock.wall_seconds(BREAKER_OPEN_S), LEAST_OPEN_WALL_S),
            monotonic=loop_time,
        )
        self._retrying = stamina.AsyncRetryingCaller(
            attempts=ATTEMPTS, timeout=self.total_s * ATTEMPTS, wait_initial=0.1, wait_max=1.0
        ).on(TransientFailure)

    async def get(self, url: str, query: Mapping[str, str]) -> HttpResponse:
        """Any response below 500. Raises WeatherUnavailable."""
        return await self._retrying(self._guarded, url, query)

    async def _guarded(self, url: str, query: Mapping[str, str]) -> HttpResponse:
        try:
            with guarded(self._breaker, failures=(TransientFailure,)):
                await self._before_attempt()
                return await self._get(url, query)
        except TransientFailure as error:
            _log.warning("weather request failed", why=str(error))
            raise
        except BreakerOpen as error:
            raise WeatherUnavailable("breaker open: the weather source failed too often") from error

    async def _get(self, url: str, query: Mapping[str, str]) -> HttpResponse:
        """The library's errors may contain the address, which may contain a key. So they are not chained."""
        try:
            async with (
                self._session() as session,
                session.get(url, params=query, allow_redirects=False) as reply,
            ):
                if reply.status >= 500:
                    raise TransientFailure(f"the weather source answered HTTP {reply.status}")
                response = HttpResponse(reply.status, await _read(reply))
        except WeatherUnavailable:  # a subclass of OSError
            raise
        except TimeoutError:
            raise TransientFailure(
                f"no complete answer of the weather source in {self.total_s:g} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            why = tls_problem(error) or type(error).__name__
            if isinstance(error, aiohttp.ServerDisconnectedError) and url.startswith("http:"):
                why += f"; {plain_hint('https')}"
            raise TransientFailure(f"the weather source cannot be reached: {why}") from None
        if (reason := self._transient_reason(response)) is not None:
            raise TransientFailure(reason)
        return response

    def _session(self) -> aiohttp.ClientSession:
        """A session for each call: a cell is read once an hour, and no connection stays open that long."""
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self.total_s),
            headers={"Accept": "application/json", "User-Agent": "gridproof"},
            connector=BoundedConnector(ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(16_384):
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise WeatherUnavailable(f"the weather source answered more than {MAX_RESPONSE_BYTES} bytes")
    return bytes(body)
