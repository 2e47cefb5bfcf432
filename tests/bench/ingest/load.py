"""Helper processes of the ingest benchmark: the meters, a bare subscriber, and processor times."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any
from uuid import uuid4

import msgspec
import uvloop

from interfaces.simulators.meters.load import LoadReport, MeterLoad
from interfaces.simulators.meters.load_plan import LoadPlan
from tests.bench.ingest.setup import BareAnswer, run_bare_subscriber
from tests.patience import END_S

CONNECTIONS = 8
CADENCE_S = 15.0
ANSWERED_WITHIN_S = 300.0


class Shape(msgspec.Struct, frozen=True):
    """The shape of a load: readings per second and per message, from meters at a cadence."""

    name: str
    readings_per_s: float
    gateway: int = 1
    cadence_s: float = CADENCE_S

    def plan(self, run: str) -> LoadPlan:
        return LoadPlan(
            run=run,
            meters=max(self.gateway, round(self.readings_per_s * self.cadence_s)),
            rate_per_s=self.readings_per_s,
            gateway=self.gateway,
            started_at=datetime.now(UTC),
        )


class Sent(msgspec.Struct, frozen=True):
    report: LoadReport
    cpu_s: float
    """Processor time of the generator."""


def new_name() -> str:
    """A new run name: the prefix of its facility ids."""
    return f"load{uuid4().hex[:8]}"


def sent(
    shape: Shape,
    url: str,
    seconds: float,
    *,
    run: str | None = None,
    beside: Callable[[LoadPlan], AbstractContextManager[object]] = nullcontext,
) -> Sent:
    """Send the load from a separate process for the duration, within the context of `beside`."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_send, args=(shape, url, seconds, run or new_name(), there), daemon=True)
    process.start()
    try:
        with beside(_received(here, ANSWERED_WITHIN_S)):
            found: Sent = _received(here, seconds + ANSWERED_WITHIN_S)
        return found
    finally:
        process.join(timeout=END_S)
        process.kill()


def _send(shape: Shape, url: str, seconds: float, run: str, channel: Connection) -> None:
    before_s = time.process_time()
    plan = shape.plan(run)
    load = MeterLoad(plan, url, connections=CONNECTIONS, window=8_000)
    channel.send(plan)
    report = uvloop.run(load.run(seconds, drain_s=ANSWERED_WITHIN_S))
    channel.send(Sent(report, time.process_time() - before_s))


class BareSubscriber:
    """A separate process that subscribes to the meters' topics and discards the readings."""

    def __init__(self, pid: int, channel: Connection) -> None:
        self.pid = pid
        self._channel = channel

    def answer(self, messages: int) -> BareAnswer:
        """Wait until this many messages have arrived."""
        self._channel.send(messages)
        found: BareAnswer = _received(self._channel, ANSWERED_WITHIN_S)
        return found


@contextmanager
def bare_subscriber(mqtt_url: str) -> Iterator[BareSubscriber]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=run_bare_subscriber, args=(mqtt_url, there), daemon=True)
    process.start()
    try:
        _received(here, 60.0)
        yield BareSubscriber(process.pid or 0, here)
        here.send(None)
        process.join(timeout=END_S)
    finally:
        process.kill()


def _received(channel: Connection, within_s: float) -> Any:
    if not channel.poll(within_s):
        raise TimeoutError(f"a process of the benchmark did not answer in {within_s:.0f} s")
    return channel.recv()
