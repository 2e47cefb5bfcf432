"""Reads with `as_of`: past states have the same shape as current ones, and the same limits on who sees what."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, NamedTuple, TypeVar
from uuid import UUID

from litestar.params import QueryParameter

from interfaces.as_of import NotAMomentOrPosition, read_as_of
from interfaces.web.edge import models_of, web_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem
from interfaces.web.requests.command_context import tenant_of
from projections.as_of.dr_event import dr_event_as_of
from projections.as_of.lists import PastList
from projections.audit.replay import DREventNotRecorded
from projections.audit.stream_log import AsOf, StreamLog
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow, key_of
from projections.facility import FacilityRow
from projections.portfolio.projection import PortfolioRow
from projections.program import ProgramRow
from projections.queries.views import Row, View

TResult = TypeVar("TResult")
TAsOf = TypeVar("TAsOf", bound=AsOf | None)
AsOfQuery = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=50,
        description="As it stood at a moment (RFC 3339, as 2026-07-14T21:30:00Z), or at a position of the log",
    ),
]


class DREventAndDispatches(NamedTuple):
    """A DR event that the caller may see, and the view with its dispatches."""

    dr_event: DREventRow
    dispatches: View[DispatchRow]


def parse_as_of(written: str | None) -> AsOf | None:
    """None for now. Raises Problem (400)."""
    if written is None:
        return None
    try:
        return read_as_of(written)
    except NotAMomentOrPosition as error:
        raise Problem("invalid-request", f"`as_of`: {error}") from error


async def dr_events_of(request: ApiRequest, as_of: AsOf | None) -> View[DREventRow]:
    """The DR events, current or past."""
    if as_of is None:
        return models_of(request).dr_events
    return await _list_of(request, web_of(request).historical_lists.dr_events, as_of)


async def facilities_of(request: ApiRequest, as_of: AsOf | None) -> View[FacilityRow]:
    """The facilities, current or past."""
    if as_of is None:
        return models_of(request).facilities
    return await _list_of(request, web_of(request).historical_lists.facilities, as_of)


async def portfolio_of(request: ApiRequest, as_of: AsOf | None) -> View[PortfolioRow]:
    """The portfolio, current or past."""
    if as_of is None:
        return models_of(request).portfolio
    return await _list_of(request, web_of(request).historical_lists.portfolio, as_of)


async def programs_of(request: ApiRequest, as_of: AsOf | None) -> View[ProgramRow]:
    """The programs, current or past: both are folded from the log."""
    return await _list_of(request, web_of(request).historical_lists.programs, as_of)


async def _list_of(request: ApiRequest, folded: Callable[[TAsOf], PastList[Row]], as_of: TAsOf) -> View[Row]:
    """The list by one fold at a time: it is work for the interpreter, and the next one continues where this one
    ended."""
    fold_limit = web_of(request).fold_limit
    return (await limited_by_tenant(request, lambda: fold_limit.run(folded, as_of))).rows


async def limited_by_tenant(request: ApiRequest, read: Callable[[], Awaitable[TResult]]) -> TResult:
    """The result of `read`, which folds the log, of each tenant one at a time.

    That takes the more the longer the log or its streams are: one tenant's reads delay its own only. Raises the problem
    `unavailable` if earlier reads take too long.
    """
    return await web_of(request).past_limit.run(tenant_of(request), read)


async def read_log(
    request: ApiRequest, read: Callable[[StreamLog], TResult], *, as_of: AsOf | None
) -> TResult:
    """The result of `read`, in a thread; limited by tenant if it reads the past."""
    reads, primary = web_of(request).replica_reads, web_of(request).history
    if as_of is not None and reads is not None:
        past = partial(reads.read_past, as_of, read, primary)
        return await limited_by_tenant(request, lambda: asyncio.to_thread(past))
    if as_of is not None:
        return await fold_log(request, read)
    return await asyncio.to_thread(read, web_of(request).history)


async def fold_log(request: ApiRequest, read: Callable[[StreamLog], TResult]) -> TResult:
    """The result of `read`, in a thread; limited by tenant: it folds many streams also for the present."""
    log = web_of(request).history
    return await limited_by_tenant(request, lambda: asyncio.to_thread(read, log))


async def visible_dr_event(
    request: ApiRequest, dr_event_id: UUID, as_of: AsOf | None
) -> DREventAndDispatches:
    """Raises Problem (404) if there is none, or the caller may not see it: it learns of no DR event of others."""
    tenant, key = request.user.utility_id, key_of(dr_event_id)
    if as_of is None:
        models = models_of(request)
        dispatches = models.dispatches
        row = await web_of(request).rows.get(models.dr_events, key)
    else:
        try:
            past = await read_log(request, lambda log: dr_event_as_of(log, dr_event_id, as_of), as_of=as_of)
        except DREventNotRecorded:
            raise _unknown(dr_event_id) from None
        row, dispatches = past.dr_events.get(key), past.dispatches
    if row is None or tenant not in (None, row.utility_id):
        raise _unknown(dr_event_id)
    return DREventAndDispatches(row, dispatches)


def _unknown(dr_event_id: UUID) -> Problem:
    return Problem(
        "not-found",
        f"there is no DR event {dr_event_id} (then); one that was just accepted appears within a moment",
    )
