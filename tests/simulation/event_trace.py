"""What happened in a simulation, in order: for a person who looks at one seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class Line(NamedTuple):
    at: datetime
    who: str
    """`mishap`, `process`, `building`, `utility`, `operator`, or the worker that logged it."""
    what: str


@dataclass
class Story:
    now: Callable[[], datetime]
    lines: list[Line] = field(default_factory=list)

    def note(self, who: str, what: str) -> None:
        self.lines.append(Line(self.now(), who, what))
