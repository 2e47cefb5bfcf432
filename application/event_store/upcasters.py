"""Upcasters: convert older versions of stored domain events when they are read. The log never changes.

Each converts one version to the next, as plain JSON values without `originator_id` and `originator_version`,
which are columns. They chain: v1 -> v2 -> v3. The last topic is that of a class.
"""

from collections.abc import Callable
from typing import Any

import msgspec

Change = Callable[[dict[str, Any]], dict[str, Any]]


class Upcaster(msgspec.Struct, frozen=True):
    """From one topic to the next; `change` is pure and must not retain its argument."""

    to: str
    change: Change


class UpcasterCycle(ValueError):
    """A chain of upcasters leads back to itself and never ends at a class."""


UPCASTERS: dict[str, Upcaster] = {}
"""Old topic -> its conversion to the next. An entry of a topic that a release wrote is never removed."""


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
    """A state stored under `topic`, converted to its present version."""
    while (upcaster := UPCASTERS.get(topic)) is not None:
        topic, stored = upcaster.to, upcaster.change(stored)
    return stored


def stored_topics(topics: list[str]) -> list[str]:
    """The topics and every older topic that is read as one of them: the topics to look for in the log."""
    current_topics = set(topics)
    return sorted(current_topics | {old for old in UPCASTERS if present_topic(old) in current_topics})
