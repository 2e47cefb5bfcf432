"""Isolates a storm from global state: the module `random` and the log configuration."""

from __future__ import annotations

import random
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

from tests.simulation.event_trace import EventTrace


@contextmanager
def seeded_random(seed: int) -> Iterator[None]:
    """Seed the module `random`, from which the product draws its jitter, and restore it afterwards."""
    before = random.getstate()
    random.seed(f"{seed}:product")
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def logs_to_trace(trace: EventTrace) -> Iterator[None]:
    """Send the log lines of the workers to the trace."""
    before = structlog.get_config()

    def add_to_trace(logger: object, method: str, line: MutableMapping[str, Any]) -> str:
        words = " ".join(f"{name}={value}" for name, value in line.items() if name != "event")
        trace.note("worker", f"{line['event']} {words}".rstrip())
        raise structlog.DropEvent

    structlog.configure(processors=[add_to_trace], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
