"""The simulated weather in the format of WeatherAPI.com: `/v1/forecast.json` and `/v1/history.json`.

It serves the subset that a client of hourly temperatures needs; each hour has fewer fields than documented.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from litestar import Request, get
from litestar.datastructures import State

from application.ports.clock import Clock
from application.weather.cell_location import WeatherPlace
from domain.time_series.windows import local_date, local_day
from interfaces.simulators.weather.service import Answer, SimulatedWeather, json_answer

FORECAST_DAYS = 14
LONGEST_HISTORY = timedelta(days=30)
FARTHEST_DEG = 0.5
"""The maximum distance from a place; beyond it there is no data."""
STATUS = {1002: 401, 2006: 401, 2007: 403, 2009: 403}
"""Of each code; 400 otherwise."""


class SimulatedWeatherApi:
    """`plan_days`: the forecast days that the contract covers. `key`: the accepted API key."""

    def __init__(
        self,
        weather: SimulatedWeather,
        places: Mapping[str, WeatherPlace],
        *,
        clock: Clock,
        key: str = "simulated",
        plan_days: int = 3,
        history_days: int = 365,
    ) -> None:
        self._weather = weather
        self._places = places
        self._clock = clock
        self._key = key
        self._plan_days = plan_days
        self._history_days = history_days
        self.queries: list[dict[str, str]] = []
        """The queries that came, without their keys."""

    async def answer(self, query: Mapping[str, str], *, history: bool) -> Answer:
        self.queries.append({name: value for name, value in query.items() if name != "key"})
        match await self._weather.fault():
            case "down":
                return json_answer(503, {"detail": "down"})
            case "over quota":
                return _failure(2007, "API key has exceeded calls per month quota.")
        if not query.get("key"):
            return _failure(1002, "API key is invalid or not provided.")
        if query["key"] != self._key:
            return _failure(2006, "API key is invalid.")
        cell = self._cell_at(query.get("q", ""))
        if cell is None:
            return _failure(1006, "No matching location found.")
        return self._days(cell, query, history=history)

    def _days(self, cell: str, query: Mapping[str, str], *, history: bool) -> Answer:
        place, now = self._places[cell], self._clock.now()
        today = local_date(now, ZoneInfo(place.tz))
        try:
            first = date.fromisoformat(query["dt"]) if history else today
            last = date.fromisoformat(query.get("end_dt", query["dt"])) if history else today
            if not history:
                last += timedelta(days=min(int(query.get("days", "1")), self._plan_days, FORECAST_DAYS) - 1)
        except (KeyError, ValueError):
            return _failure(1005, "API URL is invalid.")
        if history and today - first > timedelta(days=self._history_days):
            return _failure(2009, "API key does not have access to the resource.")
        if not first <= last <= first + LONGEST_HISTORY:
            return _failure(1005, "API URL is invalid.")
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        document: dict[str, object] = {
            "location": _location(cell, place, now),
            "forecast": {"forecastday": [self._day(cell, place, day, now) for day in days]},
        }
        if not history:
            renewed = now.replace(minute=now.minute - now.minute % 15, second=0, microsecond=0)
            document["current"] = {"last_updated_epoch": int(renewed.timestamp())}
        return json_answer(200, document)

    def _day(self, cell: str, place: WeatherPlace, day: date, now: datetime) -> dict[str, object]:
        zone = ZoneInfo(place.tz)
        window = local_day(day, zone)
        hours = []
        for n in range(round(window.duration_s / 3600)):
            at = window.starts_at + timedelta(hours=n)
            hours.append(
                {
                    "time_epoch": int(at.timestamp()),
                    "time": f"{at.astimezone(zone):%Y-%m-%d %H:%M}",
                    "temp_c": round(self._weather.temperature_c(cell, at, now), 1),
                }
            )
        epoch = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        return {"date": day.isoformat(), "date_epoch": epoch, "hour": hours}

    def _cell_at(self, q: str) -> str | None:
        """The nearest known place."""
        try:
            latitude, longitude = (float(part) for part in q.split(","))
        except ValueError:
            return None
        away = {
            cell: max(abs(place.latitude - latitude), abs(place.longitude - longitude))
            for cell, place in self._places.items()
        }
        nearest = min(away, key=lambda cell: away[cell], default=None)
        return nearest if nearest is not None and away[nearest] <= FARTHEST_DEG else None


def _location(cell: str, place: WeatherPlace, now: datetime) -> dict[str, object]:
    return {
        "name": cell,
        "region": "",
        "country": "",
        "lat": place.latitude,
        "lon": place.longitude,
        "tz_id": place.tz,
        "localtime_epoch": int(now.timestamp()),
        "localtime": f"{now.astimezone(ZoneInfo(place.tz)):%Y-%m-%d %H:%M}",
    }


def _failure(code: int, message: str) -> Answer:
    return json_answer(STATUS.get(code, 400), {"error": {"code": code, "message": message}})


@get("/v1/forecast.json")
async def forecast_json(request: Request[None, None, State], state: State) -> Answer:
    answer: Answer = await state.weatherapi.answer(dict(request.query_params), history=False)
    return answer


@get("/v1/history.json")
async def history_json(request: Request[None, None, State], state: State) -> Answer:
    answer: Answer = await state.weatherapi.answer(dict(request.query_params), history=True)
    return answer
