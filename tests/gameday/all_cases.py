"""Every case: importing the modules registers theirs."""

from tests.gameday import buildings, log, processes, readings, servers
from tests.gameday.registry import CASES

__all__ = ["CASES", "MODULES"]

MODULES = (buildings, log, processes, readings, servers)
