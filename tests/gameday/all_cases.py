"""Every case: importing the modules registers theirs."""

from tests.gameday import (
    buildings,
    defects,
    forecasts,
    log,
    other_settings,
    processes,
    readings,
    second_system,
    servers,
)
from tests.gameday.registry import CASES

__all__ = ["CASES", "MODULES"]

MODULES = (buildings, defects, forecasts, log, other_settings, processes, readings, second_system, servers)
