"""IngestSession: a session at the MQTT broker, read by one worker at a time; workers share the sessions out evenly."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import structlog

from application.command_bus.retry import sleep_or_stop
from application.ports.coordination.exclusive_lock import ExclusiveLock
from application.ports.coordination.lock_holders import LockHolders
from application.ports.telemetry.meter_feed import MessageConsumer, MeterFeed
from interfaces.workers.loops.periodic import PeriodicCheck

_log = structlog.get_logger(__name__)

_BALANCE_EVERY_S = 1.0


@dataclass
class IngestSession:
    """A persistent session with its own client id, and the lock under which it is read.

    The broker queues messages for a session that nobody reads, so every session must be read by some worker: a worker
    takes each that is free, and gives one up to a worker that has fewer.
    """

    name: str
    feed: MeterFeed
    lock: ExclusiveLock
    is_held: bool = False
    given_up_at: float = 0.0
    """When it was last given up, by the event loop's clock."""
    give_up: asyncio.Event = field(default_factory=asyncio.Event)


async def read_when_held(
    session: IngestSession,
    consumer: MessageConsumer,
    sessions: Sequence[IngestSession],
    reading: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Read `session` whenever this worker holds its lock, until `stop`. `reading` is set while any session is read."""
    while not stop.is_set():
        async with AsyncExitStack() as stack:
            lost = await _unless(stop, asyncio.ensure_future(stack.enter_async_context(session.lock.held())))
            if lost is None:
                return
            session.is_held = True
            session.give_up.clear()
            reading.set()
            _log.info("ingest reads the meters", session=session.name)
            try:
                await _read(session, consumer, lost, stop)
            finally:
                session.is_held = False
                if not any(other.is_held for other in sessions):
                    reading.clear()


async def balance(
    sessions: Sequence[IngestSession], shares: LockHolders, worker: str, stop: asyncio.Event
) -> None:
    """Give up a session whenever `worker` has two more than another worker, until `stop`."""

    async def give_up_one() -> None:
        held = [session for session in sessions if session.is_held and not session.give_up.is_set()]
        if len(held) < 2:
            return
        count_by_holder = await shares.count_by_holder()
        if (
            len(held)
            >= min((n for other, n in count_by_holder.items() if other != worker), default=len(held)) + 2
        ):
            # A different one each time: the other worker may be dead, and PostgreSQL still count it as waiting for one.
            given = min(held, key=lambda session: session.given_up_at)
            given.given_up_at = asyncio.get_running_loop().time()
            _log.info("giving up a session to another worker", session=given.name)
            given.give_up.set()

    await sleep_or_stop(stop, _BALANCE_EVERY_S)
    await PeriodicCheck(
        "session balancing", give_up_one, every_s=_BALANCE_EVERY_S, also=(ConnectionError,)
    ).run(stop)


async def _read(
    session: IngestSession, consumer: MessageConsumer, lost: asyncio.Event, stop: asyncio.Event
) -> None:
    ending = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(session.feed.run(consumer, ending))
        tasks.create_task(_end_at_first(ending, stop, lost, session.give_up))


async def _unless(stop: asyncio.Event, entering: "asyncio.Future[asyncio.Event]") -> asyncio.Event | None:
    """The result of `entering`; None when `stop` came first."""
    stopped = asyncio.ensure_future(stop.wait())
    try:
        either: list[asyncio.Future[Any]] = [entering, stopped]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return entering.result() if entering.done() else None
    finally:
        stopped.cancel()
        if not entering.done():
            entering.cancel()
            await asyncio.gather(entering, return_exceptions=True)


async def _end_at_first(ending: asyncio.Event, *causes: asyncio.Event) -> None:
    waits = [asyncio.create_task(cause.wait()) for cause in causes]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.set()
        for wait in waits:
            wait.cancel()
