"""The simulated weather service: hourly temperatures of a cell, past and forecast, with quota and faults."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
import numpy as np
from litestar import Litestar, Request, get
from litestar.datastructures import State
from litestar.response import Response
from litestar.types import ControllerRouterHandler

from application.ports.clock import Clock
from domain.time_series.windows import TimeWindow
from interfaces.simulators.outside_journal import WeatherCall
from interfaces.simulators.weather.climate import Climate, seed_of, smooth_noise

LONGEST_RANGE = timedelta(days=400)
FORECAST_ERROR_C = 1.7
"""Standard size of the error a day ahead (what forecasting.md's figures were measured with)."""

Temperature = Callable[[datetime], float]
Answer = Response[bytes]
Fault = Literal["down", "over quota"]


class WeatherFaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the weather service misbehaves."""

    down: bool = False
    """Every call is answered 503."""
    down_during: tuple[TimeWindow, ...] = ()
    """And every one in these, by the clock."""
    fail_first: int = 0
    quota_per_day: int | None = None
    """Calls a clock day; above it: 429 with Retry-After."""
    latency_s: float = 0.0
    """Clock seconds before each answer."""


class WeatherHour(msgspec.Struct, frozen=True):
    at: datetime
    temp_c: float


class WeatherAnswer(msgspec.Struct, frozen=True):
    cell: str
    issued_at: datetime
    hours: list[WeatherHour]


class SimulatedWeather:
    """Past hours equal the buildings' weather; future hours have an error that grows over a day."""

    def __init__(
        self,
        *,
        clock: Clock,
        cells: Mapping[str, Temperature] | None = None,
        faults: WeatherFaults | None = None,
        record: Callable[[WeatherCall], None] | None = None,
    ) -> None:
        self._clock = clock
        self._record = record or _discard
        self._cells = cells or {}
        self._faults = faults or WeatherFaults()
        self._calls = 0
        self._calls_of_day: tuple[int, int] = (0, 0)

    async def answer(self, cell: str, starts_at: datetime, ends_at: datetime) -> Answer:
        """The hours of `[starts_at, ends_at)`."""
        now = self._clock.now()
        refusal = await self._refusal(starts_at, ends_at)
        issued_at = now.replace(minute=0, second=0, microsecond=0)
        self._record(WeatherCall(at=now, cell=cell, issued_at=None if refusal else issued_at))
        if refusal is not None:
            return refusal
        hours = [
            WeatherHour(at, round(self.temperature_c(cell, at, issued_at), 2))
            for at in _hours(starts_at, ends_at)
        ]
        return json_answer(200, WeatherAnswer(cell, issued_at, hours))

    async def _refusal(self, starts_at: datetime, ends_at: datetime) -> Answer | None:
        match await self.fault():
            case "down":
                return _problem(503, "the weather service is down")
            case "over quota":
                return _problem(429, "the day's quota is used up", {"Retry-After": "3600"})
        if not starts_at < ends_at <= starts_at + LONGEST_RANGE:
            return _problem(400, f"from must be before to, by at most {LONGEST_RANGE.days} days")
        return None

    async def fault(self) -> Fault | None:
        """Apply the injected delay, then return the fault of the current call, if any."""
        now = self._clock.now()
        await asyncio.sleep(self._clock.wall_seconds(self._faults.latency_s))
        self._calls += 1
        down = self._faults.down or any(window.contains(now) for window in self._faults.down_during)
        if down or self._calls <= self._faults.fail_first:
            return "down"
        return "over quota" if self._over_quota(now) else None

    def temperature_c(self, cell: str, at: datetime, issued_at: datetime) -> float:
        """The temperature at `at` in a forecast issued at `issued_at`; the actual one for past times."""
        actual_c = self._cells[cell](at) if cell in self._cells else Climate(cell).temperature_c(at)
        ahead_h = (at - issued_at).total_seconds() / 3600.0
        if ahead_h <= 0:
            return actual_c
        seed = seed_of("forecast", cell, issued_at.isoformat())
        error = smooth_noise(seed, np.array([at.timestamp()]), 6 * 3600.0)[0]
        # Uniform in -1 .. 1 has a standard deviation of 1 / sqrt(3).
        return actual_c + float(error) * FORECAST_ERROR_C * 3**0.5 * min(1.0, ahead_h / 24.0)

    def _over_quota(self, now: datetime) -> bool:
        day, calls = now.toordinal(), 1
        if self._calls_of_day[0] == day:
            calls += self._calls_of_day[1]
        self._calls_of_day = (day, calls)
        return self._faults.quota_per_day is not None and calls > self._faults.quota_per_day


def _discard(_: WeatherCall) -> None:
    """Discards journal entries."""


def _hours(starts_at: datetime, ends_at: datetime) -> list[datetime]:
    first = starts_at.replace(minute=0, second=0, microsecond=0)
    first += timedelta(hours=1) if first < starts_at else timedelta()
    count = max(0, -(-int((ends_at - first).total_seconds()) // 3600))
    return [first + timedelta(hours=index) for index in range(count)]


def json_answer(status: int, document: object, headers: dict[str, str] | None = None) -> Answer:
    return Response(
        msgspec.json.encode(document),
        status_code=status,
        media_type="application/json",
        headers=headers or {},
    )


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Answer:
    return json_answer(status, {"detail": detail}, headers)


def create_weather_app(
    weather: SimulatedWeather, *others: ControllerRouterHandler, **state: object
) -> Litestar:
    """`GET /v1/forecast?cell=..&from=..&to=..`, and additional handlers for the same weather with their `state`."""
    return Litestar([forecast, *others], state=State({"weather": weather} | state), openapi_config=None)


@get("/v1/forecast")
async def forecast(request: Request[None, None, State], state: State) -> Answer:
    query = request.query_params
    try:
        cell = query["cell"]
        starts_at, ends_at = (_instant(query[name]) for name in ("from", "to"))
    except (KeyError, ValueError) as error:
        return _problem(400, f"give cell, from and to (RFC 3339): {error}")
    answer: Answer = await state.weather.answer(cell, starts_at, ends_at)
    return answer


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no offset")
    return at.astimezone(UTC)
