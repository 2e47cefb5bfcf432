"""Route of the operations summary: queues, breakers, projections, dead letters, the ledger and the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import msgspec
from litestar import Controller, get

from application.ledger.proof import NotProvable
from application.ledger.status import LedgerStatus
from application.operations.report import (
    BREAKER_ALERT,
    LOCKS,
    LedgerSummary,
    OpenBreaker,
    RebuildState,
    WorkerState,
    open_breakers,
    rebuild_state,
    worker_states,
)
from application.ports.operations.alerts import every_open_alert
from application.ports.operations.dead_letters import DeadLetterQueue
from application.ports.operations.system_state import QueueName, QueuesUnavailable, SystemState
from application.ports.operations.unavailable import OperationsUnavailable
from domain.event_sourcing.decoders import converted
from interfaces.web.caching.unavailable import UNAVAILABLE
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.route_policy import OPERATOR, RoutePolicy
from projections.queries.views import ProjectionPosition

PART_TIMEOUT_S = 3.0
"""Wall seconds; all parts are read concurrently."""
MAX_BREAKERS = 1_000
TPart = TypeVar("TPart")
_AWAY: tuple[type[Exception], ...] = (TimeoutError, NotProvable, *UNAVAILABLE)


class ProjectionState(msgspec.Struct, frozen=True, kw_only=True):
    """A read model: `lag` in positions of the log, `lag_s` the age of the oldest unfolded one in clock seconds."""

    name: str
    position: int
    head: int
    lag: int
    lag_s: float
    stopped_at: int | None
    stopped_reason: str | None
    rebuild: RebuildState | None


class QueueDepthDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A queue between processes."""

    name: QueueName
    waiting: int
    """Rows of open work, or unacknowledged messages, including those that are being processed."""
    bytes: int | None
    """The size of the stream; null: rows of the database."""
    most_bytes: int | None
    """The size limit; null: unbounded."""
    oldest_s: float | None
    """The age of the oldest recorded intent that waits, in clock seconds; null: none waits, or not available."""


class OpenDeadLettersDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The undecided dead letters of one queue."""

    queue: DeadLetterQueue
    open: int
    oldest_at: datetime


class OperationsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A part that could not be read is null, and `unknown` says why."""

    at: datetime
    open_alerts: dict[str, int] | None
    breakers: tuple[OpenBreaker, ...] | None
    """Of BMS to which calls are suspended."""
    queues: tuple[QueueDepthDocument, ...] | None
    projections: tuple[ProjectionState, ...] | None
    dead_letters: tuple[OpenDeadLettersDocument, ...] | None
    ledger: LedgerSummary | None
    workers: tuple[WorkerState, ...] | None
    unknown: dict[str, str]


class OperationsController(Controller):
    path = "/api/operations"
    tags = ("operations",)

    @get(
        "/",
        summary="State of queues, workers, projections, alerts and the ledger",
        policy=RoutePolicy(roles=OPERATOR, needs_store=False),
    )
    async def whole(self, web: Web) -> OperationsDocument:
        unknown = dict[str, str]()
        async with asyncio.TaskGroup() as parts:

            def part(name: str, answer: Awaitable[TPart]) -> asyncio.Task[TPart | None]:
                return parts.create_task(_part_or_unknown(name, answer, unknown))

            def stored(name: str, ask: Callable[[WebDependencies], TPart]) -> asyncio.Task[TPart | None]:
                return part(name, _read(ask, web))

            open_alerts = stored("open_alerts", lambda web: web.alerts.open_by_name())
            breakers = stored("breakers", _breakers)
            queues = part("queues", _queues(web))
            projections = stored("projections", _projections)
            letters = stored("dead_letters", _letters)
            ledger = stored("ledger", _ledger)
            workers = stored("workers", _workers)
        return OperationsDocument(
            at=web.clock.now(),
            open_alerts=open_alerts.result(),
            breakers=breakers.result(),
            queues=queues.result(),
            projections=projections.result(),
            dead_letters=letters.result(),
            ledger=ledger.result(),
            workers=workers.result(),
            unknown=unknown,
        )


async def _part_or_unknown(name: str, answer: Awaitable[TPart], unknown: dict[str, str]) -> TPart | None:
    """The part, or None with the kind of failure in `unknown`; the address is not shown."""
    try:
        async with asyncio.timeout(PART_TIMEOUT_S):
            return await answer
    except _AWAY as error:
        unknown[name] = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        return None


async def _read(ask: Callable[[WebDependencies], TPart], web: WebDependencies) -> TPart:
    """Run `ask` in a thread, unless PostgreSQL does not answer at the moment."""
    if web.live.state.is_away:
        raise OperationsUnavailable("the store does not answer")
    return await asyncio.to_thread(ask, web)


def _breakers(web: WebDependencies) -> tuple[OpenBreaker, ...]:
    if not web.alerts.open_by_name().get(BREAKER_ALERT):
        return ()
    return open_breakers(every_open_alert(web.alerts))[:MAX_BREAKERS]


async def _queues(web: WebDependencies) -> tuple[QueueDepthDocument, ...]:
    if web.queues is None:
        raise QueuesUnavailable("this process knows no queues")
    return converted(await web.queues.depths(), tuple[QueueDepthDocument, ...], from_attributes=True)


def _letters(web: WebDependencies) -> tuple[OpenDeadLettersDocument, ...]:
    letters = web.dead_letters.open_by_queue()
    return converted(letters, tuple[OpenDeadLettersDocument, ...], from_attributes=True)


def _system(web: WebDependencies) -> SystemState:
    if web.system_state is None:
        raise OperationsUnavailable("this process has no system state")
    return web.system_state


def _projections(web: WebDependencies) -> tuple[ProjectionState, ...]:
    rebuilds = {rebuild.name: rebuild_state(rebuild) for rebuild in _system(web).rebuilds()}
    now = web.clock.now()
    positions = web.read_models.positions()
    return tuple(_projection(position, rebuilds.get(position.name), now) for position in positions)


def _projection(position: ProjectionPosition, rebuild: RebuildState | None, now: datetime) -> ProjectionState:
    return ProjectionState(
        name=position.name,
        position=position.position,
        head=position.head,
        lag=position.lag,
        lag_s=position.lag_s(now),
        stopped_at=position.stopped_at,
        stopped_reason=position.stopped_reason,
        rebuild=rebuild,
    )


def _workers(web: WebDependencies) -> tuple[WorkerState, ...]:
    system = _system(web)
    return worker_states(system.sessions(), system.held(LOCKS))


def _ledger(web: WebDependencies) -> LedgerSummary:
    status: LedgerStatus = web.ledger.status()
    found = status.checkpoint
    return LedgerSummary(
        checkpoint=None if found is None else found.number,
        sealed_at=None if found is None else found.at,
        age_s=None if found is None else found.age_s,
        unsealed=sum(log.unsealed for log in status.logs),
        mismatches=len(status.mismatches),
    )
