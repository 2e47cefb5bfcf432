"""The check of the weather for `gridproof doctor`: the service, the coordinates of cells, and the contract."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from application.weather.requirements import ADVICE, NO_SERVICE
from interfaces.bootstrap.doctor.result import CheckResult
from interfaces.bootstrap.weather import (
    contract_of,
    weather_cells,
    weather_problems,
    weather_summary,
)

if TYPE_CHECKING:
    from application.ports.clock import Clock
    from interfaces.bootstrap.stores import Stores
    from interfaces.settings.settings import Settings

WEATHER, CELLS = "weather", "weather cells"


def check_weather(settings: Settings, clock: Clock, *, within_s: float) -> CheckResult:
    """The service of the settings; `warning` where there is none. Raises SecretError or TimeoutError."""
    if settings.weather_key is None and settings.weather_url is None:
        return CheckResult(check=WEATHER, state="warning", detail=f"not set; {NO_SERVICE}", advice=ADVICE)

    async def in_time() -> str:
        async with asyncio.timeout(within_s):
            return await weather_summary(settings, clock)

    return CheckResult(check=WEATHER, state="ok", detail=asyncio.run(in_time()))


def check_weather_cells(stores: Stores) -> CheckResult:
    """`warning` where a cell has no coordinates, or the cells need more calls than the contract allows."""
    contract, cells = contract_of(stores.settings), len(weather_cells(stores))
    if contract is None:
        return CheckResult(check=CELLS, state="ok", detail=str(cells))
    problems = weather_problems(stores)
    return CheckResult(
        check=CELLS,
        state="warning" if problems else "ok",
        detail="; ".join(problems) or str(contract.needed_by(cells)),
        advice="see docs/guides/weather.md",
        facts={"cells": cells, "problems": problems},
    )
