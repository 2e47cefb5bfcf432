"""The needs of forecasts for weather: a service, coordinates where it asks for them, and calls within the contract;
pure."""

from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta

import msgspec

PAST_WEATHER = timedelta(days=56)
"""How far back temperatures are requested where a model is trained: three weeks more than it needs."""
CALLS_A_DAY = 28
"""Of each weather cell: one an hour for the forecast, two for the days since the last daily report, and two that are
refused while the contract covers less of the past than is requested."""
DAYS_A_MONTH = 31
NAMED = 5

CONSEQUENCE = "forecasts are degraded; programs with guardrail block will not dispatch"
NO_SERVICE = (
    "no weather service is set: every forecast is degraded; programs with guardrail block will not dispatch"
)
ADVICE = (
    "set GRIDPROOF_WEATHER_URL, or GRIDPROOF_WEATHER_KEY for WeatherAPI.com; to work without weather, agree "
    "forecast_guardrail accept_no_weather or warn in the program"
)


class CallsNeeded(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of some weather cells, against those of the contract."""

    cells: int
    a_day: int
    allowed_a_day: int
    """Evenly over DAYS_A_MONTH days."""

    @property
    def are_allowed(self) -> bool:
        return self.a_day <= self.allowed_a_day

    def __str__(self) -> str:
        return f"{self.cells} weather cells need {self.a_day} calls a day, the contract allows {self.allowed_a_day}"


class WeatherContract(msgspec.Struct, frozen=True, kw_only=True):
    """The contract with a service that asks for coordinates."""

    calls_a_month: int
    """In any 31 days."""
    history_days: int
    """Days of past weather that it covers."""

    def needed_by(self, cells: int) -> CallsNeeded:
        """The calls that so many weather cells need."""
        return CallsNeeded(
            cells=cells, a_day=cells * CALLS_A_DAY, allowed_a_day=self.calls_a_month // DAYS_A_MONTH
        )


def problems_of_contract(
    contract: WeatherContract, cells: Collection[str], located: Collection[str]
) -> Iterator[str]:
    """Needs that are not met for the weather of `cells`, and what follows. `located`: those with coordinates."""
    unlocated = sorted(set(cells) - set(located))
    if unlocated:
        yield (
            f"{_named(unlocated)}: no facility there has coordinates, so there is no weather; name latitude and "
            f"longitude; until then {CONSEQUENCE}"
        )
    needed = contract.needed_by(len(set(cells) - set(unlocated)))
    if not needed.are_allowed:
        yield (
            f"{needed}; beyond them {CONSEQUENCE}; put neighbouring facilities into one weather_cell, or extend the "
            "contract and GRIDPROOF_WEATHER_QUOTA_PER_MONTH"
        )
    if cells and contract.history_days < PAST_WEATHER.days:
        yield (
            f"GRIDPROOF_WEATHER_HISTORY_DAYS is {contract.history_days}: models learn from temperatures once there are "
            f"five weeks of them; {PAST_WEATHER.days} days are requested where the contract covers them"
        )


def _named(cells: Iterable[str]) -> str:
    names = list(cells)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"weather cells {', '.join(names[:NAMED])}{more}" if len(names) > 1 else f"weather cell {names[0]}"
