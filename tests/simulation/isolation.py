"""A storm shares its process with others: what is global is lent to it and given back."""

from __future__ import annotations

import random
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

from tests.simulation.event_trace import Story


@contextmanager
def own_chance(seed: int) -> Iterator[None]:
    """The product draws its jitter from the module `random`: for a while from the seed."""
    before = random.getstate()
    random.seed(f"{seed}:product")
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def logs_into(story: Story) -> Iterator[None]:
    """What the workers log becomes part of the story."""
    before = structlog.get_config()

    def tell(logger: object, method: str, said: MutableMapping[str, Any]) -> str:
        words = " ".join(f"{name}={value}" for name, value in said.items() if name != "event")
        story.note("worker", f"{said['event']} {words}".rstrip())
        raise structlog.DropEvent

    structlog.configure(processors=[tell], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
