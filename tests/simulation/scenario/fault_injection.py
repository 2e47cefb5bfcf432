"""Chance: whether a mishap strikes at a place where one can. One seed, one sequence of strikes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from tests.simulation.event_trace import Story

RATES: dict[str, float] = {
    "database.refuses_read": 0.01,
    "database.refuses_commit": 0.05,
    "database.loses_commit_answer": 0.05,
    "database.conflicts_with_itself": 0.03,
    "database.is_slow": 0.2,
    "database.drops_locks": 0.01,
    "queue.refuses": 0.05,
    "queue.loses_publish_answer": 0.05,
    "queue.delivers_twice": 0.05,
    "queue.loses_ack": 0.05,
    "queue.loses_ack_answer": 0.05,
    "utility.is_away": 0.2,
    "utility.loses_answer": 0.1,
    "utility.says_not_now": 0.1,
    "process.dies_at_failpoint": 0.03,
    "meter.is_silent": 0.1,
}
"""Name -> how often it strikes where it can, when a seed has it at all at its middling strength."""


@dataclass
class Mishaps:
    chance: Random
    rates: Mapping[str, float]
    story: Story
    calm: bool = False
    """From then on nothing strikes any more: the system is to come to rest."""
    struck: Counter[str] = field(default_factory=Counter)

    def strikes(self, name: str, where: str = "", rate: float | None = None) -> bool:
        """Whether the mishap happens here; `rate` instead of the seed's own."""
        likely = self.rates.get(name, 0.0) if rate is None else rate
        if self.calm or likely <= 0.0 or self.chance.random() >= likely:
            return False
        self.strike(name, where)
        return True

    def strike(self, name: str, where: str = "") -> None:
        self.struck[name] += 1
        self.story.note("mishap", f"{name} {where}".rstrip())
