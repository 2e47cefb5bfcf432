"""`as_of=`: DR events as they stood, in the same shape as live; a caller sees of the past only what it sees now."""

import asyncio
from collections.abc import Callable
from typing import Annotated, NamedTuple
from uuid import UUID

from litestar.params import QueryParameter

from interfaces.as_of import NotAMomentOrPosition, read_as_of
from interfaces.web.edge import collaborators_of, edge_of, models_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem
from projections.as_of.dr_event import dr_event_as_of
from projections.as_of.lists import PastList
from projections.audit.replay import DREventNotRecorded
from projections.audit.stream_log import AsOf
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow, key_of
from projections.facility import FacilityRow
from projections.portfolio.projection import PortfolioRow
from projections.queries.views import Row, View

AsOfQuery = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=50,
        description="As it stood at a moment (RFC 3339, as 2026-07-14T21:30:00Z), or at a position of the log",
    ),
]


class Story(NamedTuple):
    """A DR event that the caller may see, and where its dispatches are."""

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


async def dr_events_of(request: ApiRequest, past: AsOf | None) -> View[DREventRow]:
    """The DR events, live or as they stood."""
    if past is None:
        return models_of(request).dr_events
    return await _list_of(request, edge_of(request).past_lists.dr_events, past)


async def facilities_of(request: ApiRequest, past: AsOf | None) -> View[FacilityRow]:
    """The facilities, live or as they stood."""
    if past is None:
        return models_of(request).facilities
    return await _list_of(request, edge_of(request).past_lists.facilities, past)


async def portfolio_of(request: ApiRequest, past: AsOf | None) -> View[PortfolioRow]:
    """The portfolio, live or as it stood."""
    if past is None:
        return models_of(request).portfolio
    return await _list_of(request, edge_of(request).past_lists.portfolio, past)


async def _list_of(request: ApiRequest, folded: Callable[[AsOf], PastList[Row]], past: AsOf) -> View[Row]:
    """One after the other: folding is work for the interpreter, and the next one goes on where this one ended."""
    return (await edge_of(request).folding.judged(folded, past)).rows


async def story_of(request: ApiRequest, dr_event_id: UUID, past: AsOf | None) -> Story:
    """Raises Problem (404) where the caller may not see it: another utility's does not exist for it."""
    tenant, key = request.user.utility_id, key_of(dr_event_id)
    if past is None:
        models = models_of(request)
        dispatches = models.dispatches
        row = await edge_of(request).rows.get(models.dr_events, key)
    else:
        try:
            log = collaborators_of(request).story_log
            story = await asyncio.to_thread(dr_event_as_of, log, dr_event_id, past)
        except DREventNotRecorded:
            raise _unknown(dr_event_id) from None
        row, dispatches = story.dr_events.get(key), story.dispatches
    if row is None or tenant not in (None, row.utility_id):
        raise _unknown(dr_event_id)
    return Story(row, dispatches)


def _unknown(dr_event_id: UUID) -> Problem:
    return Problem(
        "not-found", f"no DR event {dr_event_id} is known here (then); one just accepted follows at once"
    )
