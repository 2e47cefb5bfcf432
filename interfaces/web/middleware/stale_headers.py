"""Headers of a stale response; a 304, which has no document, has them too."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from application.ports.clock import Clock
from application.telemetry.cached_reader import CachedAnswer


def stale_headers(age_wall_s: float) -> dict[str, str]:
    """For caches, and for programs that read headers only. `Age` is in whole wall seconds."""
    return {"X-Stale": "true", "Age": str(int(age_wall_s)), "Warning": '110 - "Response is Stale"'}


def stale_headers_of(answers: Collection[CachedAnswer[Any]], clock: Clock) -> dict[str, str]:
    """No headers if all values are current; else with the age of the oldest stale one."""
    stale_since = [answer.read_at for answer in answers if answer.source == "last_known"]
    if not stale_since:
        return {}
    age_s = (clock.now() - min(stale_since)).total_seconds()
    return stale_headers(max(0.0, clock.wall_seconds(age_s)))
