"""How an answer that is not of now says so in its headers, also where it is a 304 without a document."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from application.ports.clock import Clock
from application.telemetry.cached_reader import CachedAnswer


def stale_headers(age_wall_s: float) -> dict[str, str]:
    """For caches, and for programs that look at headers only. `Age` is in whole seconds of the wall."""
    return {"X-Stale": "true", "Age": str(int(age_wall_s)), "Warning": '110 - "Response is Stale"'}


def headers_of(answers: Collection[CachedAnswer[Any]], clock: Clock) -> dict[str, str]:
    """None of them where all are of now; else the age of the oldest that is not."""
    known_before = [answer.read_at for answer in answers if answer.source == "last_known"]
    if not known_before:
        return {}
    age_s = (clock.now() - min(known_before)).total_seconds()
    return stale_headers(max(0.0, clock.wall_seconds(age_s)))
