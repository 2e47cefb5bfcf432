"""The trace of a simulation: everything that happened, in order, for a person who inspects a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class TraceLine(NamedTuple):
    at: datetime
    who: str
    """`fault`, `schedule`, `process`, `building`, `breaker`, `worker`, or the actor."""
    what: str


@dataclass
class EventTrace:
    now: Callable[[], datetime]
    lines: list[TraceLine] = field(default_factory=list)

    def note(self, who: str, what: str) -> None:
        self.lines.append(TraceLine(self.now(), who, what))
