"""Older versions of stored domain events, made into the present ones as they are read; the log never changes.

Each takes the version before to the next, as plain JSON values without the place (`originator_id`, `originator_version`
stand in columns). They chain: v1 -> v2 -> v3. The last topic is that of a class.
"""

from collections.abc import Callable
from typing import Any

import msgspec

Change = Callable[[dict[str, Any]], dict[str, Any]]


class Upcaster(msgspec.Struct, frozen=True):
    """From one topic to the next; `change` is pure and must not keep what it is given."""

    to: str
    change: Change


class UpcasterCycle(ValueError):
    """A chain of upcasters that comes back to itself never ends at a class."""


UPCASTERS: dict[str, Upcaster] = {}
"""Old topic -> how it becomes the next. None yet: every version ever released is the present one. An entry is for ever:

    "dr-event.accepted.v1": Upcaster("dr-event.accepted.v2", accepted_v1_to_v2),
"""


def present_topic(topic: str) -> str:
    """The topic of the class that a stored topic is read as. Raises UpcasterCycle."""
    seen = {topic}
    while (upcaster := UPCASTERS.get(topic)) is not None:
        topic = upcaster.to
        if topic in seen:
            raise UpcasterCycle(f"the upcasters of {topic} come back to it")
        seen.add(topic)
    return topic


def upcast(topic: str, stored: dict[str, Any]) -> dict[str, Any]:
    """What was stored under `topic`, as its present version."""
    while (upcaster := UPCASTERS.get(topic)) is not None:
        topic, stored = upcaster.to, upcaster.change(stored)
    return stored


def stored_topics(topics: list[str]) -> list[str]:
    """Those topics and every older one that is read as one of them: what to look for in the log."""
    wanted = set(topics)
    return sorted(wanted | {old for old in UPCASTERS if present_topic(old) in wanted})
