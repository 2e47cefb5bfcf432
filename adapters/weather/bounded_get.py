"""One GET of a weather service: bounded in time and size, tried again where that may help, behind a breaker."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import aiohttp
import stamina

from adapters.resilience import BreakerOpen, guarded, loop_time
from application.circuit_breaker import CircuitBreaker
from application.ports.clock import Clock
from application.ports.weather.source import WeatherUnavailable

TOTAL_S, LEAST_TOTAL_WALL_S = 10.0, 2.0
ATTEMPTS = 3
BREAKER_FAILURES, BREAKER_OPEN_S, LEAST_OPEN_WALL_S = 5, 60.0, 1.0
LARGEST_ANSWER = 1 << 21
"""Bytes; a month of WeatherAPI.com's hours is about 1 MB."""


class Answered(NamedTuple):
    status: int
    body: bytes


class TryAgain(WeatherUnavailable):
    """A failure that may be over in a moment."""


def _never(_: Answered) -> str | None:
    return None


async def _at_once() -> None:
    """Nothing to ask before a try."""


class BoundedGet:
    """Five failures in a row that may pass open a breaker for a minute of the clock; refusals do not count."""

    def __init__(
        self,
        clock: Clock,
        *,
        before_try: Callable[[], Awaitable[None]] = _at_once,
        may_pass: Callable[[Answered], str | None] = _never,
    ) -> None:
        """`before_try` may raise to keep a try from being made; `may_pass` names an answer worth another try."""
        self.total_s = max(clock.wall_seconds(TOTAL_S), LEAST_TOTAL_WALL_S)
        self._before_try = before_try
        self._may_pass = may_pass
        self._breaker = CircuitBreaker(
            threshold=BREAKER_FAILURES,
            open_s=max(clock.wall_seconds(BREAKER_OPEN_S), LEAST_OPEN_WALL_S),
            monotonic=loop_time,
        )
        self._retrying = stamina.AsyncRetryingCaller(
            attempts=ATTEMPTS, timeout=self.total_s * ATTEMPTS, wait_initial=0.1, wait_max=1.0
        ).on(TryAgain)

    async def get(self, url: str, query: Mapping[str, str]) -> Answered:
        """Any answer below 500. Raises WeatherUnavailable."""
        return await self._retrying(self._guarded, url, query)

    async def _guarded(self, url: str, query: Mapping[str, str]) -> Answered:
        try:
            with guarded(self._breaker, failures=(TryAgain,)):
                await self._before_try()
                return await self._get(url, query)
        except BreakerOpen as error:
            raise WeatherUnavailable("breaker open: the weather source failed too often") from error

    async def _get(self, url: str, query: Mapping[str, str]) -> Answered:
        """The library's errors may hold the address, and that a key: they are not handed on."""
        try:
            async with (
                self._session() as session,
                session.get(url, params=query, allow_redirects=False) as response,
            ):
                if response.status >= 500:
                    raise TryAgain(f"the weather source answered HTTP {response.status}")
                answered = Answered(response.status, await _read(response))
        except WeatherUnavailable:  # itself an OSError
            raise
        except TimeoutError:
            raise TryAgain(f"no complete answer of the weather source in {self.total_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgain(f"the weather source cannot be reached: {type(error).__name__}") from None
        if (why := self._may_pass(answered)) is not None:
            raise TryAgain(why)
        return answered

    def _session(self) -> aiohttp.ClientSession:
        """One for each call: a cell is asked once in an hour, which no open connection outlives."""
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self.total_s),
            headers={"Accept": "application/json", "User-Agent": "gridproof"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(16_384):
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise WeatherUnavailable(f"the weather source answered more than {LARGEST_ANSWER} bytes")
    return bytes(body)
