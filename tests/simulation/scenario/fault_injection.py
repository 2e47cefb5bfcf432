"""Random faults: whether a fault strikes at a place where it can. One seed gives one sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from tests.simulation.event_trace import EventTrace

RATES: dict[str, float] = {
    "database.refuses_read": 0.01,
    "database.refuses_commit": 0.05,
    "database.loses_commit_answer": 0.05,
    "database.conflicts_with_itself": 0.03,
    "database.is_slow": 0.2,
    "database.drops_locks": 0.01,
    "open_work.loses_answer": 0.02,
    "utility.is_away": 0.2,
    "utility.loses_answer": 0.1,
    "utility.says_not_now": 0.1,
    "process.dies_at_failpoint": 0.03,
    "meter.is_silent": 0.1,
}
"""Fault -> the probability that it strikes at each place, at the middle strength of a seed that has it."""


@dataclass
class FaultInjector:
    rng: Random
    rates: Mapping[str, float]
    trace: EventTrace
    is_over: bool = False
    """True once no fault strikes any more, so that the system can become idle."""
    struck: Counter[str] = field(default_factory=Counter)

    def strikes(self, name: str, where: str = "", rate: float | None = None) -> bool:
        """Whether the fault happens here; `rate` replaces the seed's rate."""
        probability = self.rates.get(name, 0.0) if rate is None else rate
        if self.is_over or probability <= 0.0 or self.rng.random() >= probability:
            return False
        self.strike(name, where)
        return True

    def strike(self, name: str, where: str = "") -> None:
        self.struck[name] += 1
        self.trace.note("fault", f"{name} {where}".rstrip())
