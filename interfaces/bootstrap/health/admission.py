"""A process begins only if its PostgreSQL connections fit beside those of the processes that run (ADR 0115).

One for which there is no room states an alert.
"""

from __future__ import annotations

import asyncio
import os
from socket import gethostname
from typing import TYPE_CHECKING

import structlog

from application.ports.operations.heartbeats import MISSED_BEAT_S, ConnectionRoom, Process
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.bootstrap.connection_budget import budget_of_worker

if TYPE_CHECKING:
    from interfaces.bootstrap.stores import Stores
    from interfaces.settings.settings import Settings

WITHIN_S = MISSED_BEAT_S + 5.0
"""A process that was killed counts for MISSED_BEAT_S: the one that is started in its place waits so long."""
REFUSED, REFUSED_FOR_S = "process_refused", 600.0
_log = structlog.get_logger(__name__)


class ConnectionBudgetTaken(OperationsUnavailable):
    """The budgets of the processes that run and of this one are more than the server's `max_connections`."""


def this_process(worker: str) -> Process:
    return Process(worker, gethostname(), os.getpid())


async def admit(worker: str, stores: Stores, stop: asyncio.Event, *, within_s: float = WITHIN_S) -> bool:
    """Wait until this process fits, as long as PostgreSQL does not answer. False if `stop` is set first.

    Raises ConnectionBudgetTaken, and the alert, after `within_s` of answers that it does not.
    """
    from application.command_bus.retry import Pauses, Stopped, retry_while_unavailable

    failure: Exception = OperationsUnavailable("PostgreSQL did not say in time which processes run")

    def note(error: Exception) -> None:
        nonlocal failure
        failure = error
        if not isinstance(
            error, ConnectionBudgetTaken
        ):  # a failover may take longer, and says nothing of a place
            limit.reschedule(asyncio.get_running_loop().time() + within_s)
        _log.warning("this process waits for its connections", why=str(error))

    try:
        async with asyncio.timeout(within_s) as limit:
            await retry_while_unavailable(
                lambda: asyncio.to_thread(_admit_once, worker, stores),
                stop=stop,
                pauses=Pauses(0.5, 2.0),
                on_retry=note,
            )
    except Stopped:
        return False
    except TimeoutError:
        if isinstance(failure, ConnectionBudgetTaken):
            await asyncio.to_thread(_state, worker, stores, str(failure))
        raise failure from None
    return True


def _admit_once(worker: str, stores: Stores) -> None:
    from adapters.postgres.connection.budget import BUDGET
    from adapters.postgres.operations.heartbeats import PostgresHeartbeats

    settings = stores.settings
    room = PostgresHeartbeats(stores.pool).admit(
        this_process(worker),
        backends=BUDGET.backends(),
        budget_of=lambda one: budget_of_worker(one, settings),
        reserved=reserved_connections(settings),
    )
    if not room.fits:
        raise ConnectionBudgetTaken(refusal(worker, room))
    _state(worker, stores, None)


def _state(worker: str, stores: Stores, refused: str | None) -> None:
    """A refusal holds for REFUSED_FOR_S, since this process ends, or until one of the worker starts on this machine."""
    subject = f"{worker} on {gethostname()}"
    stated = {} if refused is None else {subject: refused}
    now = stores.clock.now()
    try:
        stores.alerts().state(REFUSED, stated, observer=subject, at=now, holds_s=REFUSED_FOR_S)
    except OperationsUnavailable as error:  # the refusal itself is what the process has to say
        if refused is None:
            raise
        _log.warning("the alert could not be stated", alert=REFUSED, error=str(error))


def reserved_connections(settings: Settings) -> int:
    """For one command beside the workers: `gridproof doctor` must be able to say what is wrong."""
    return budget_of_worker("cli", settings)


def refusal(worker: str, room: ConnectionRoom) -> str:
    return (
        f"{worker} may open {room.wanted} connections, the processes that run {room.taken}, and the server allows "
        f"them {room.most}: raise its max_connections by {room.taken + room.wanted - room.most} or more and restart "
        "it, or run fewer processes; see docs/runbooks/connections_short.md"
    )
