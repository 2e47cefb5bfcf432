"""The route of the portfolio's summed load, and the sum of the loads of any facilities."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.params import QueryParameter

from application.telemetry.load_sum import SummedStep, summed
from domain.forecast import CYCLE, cycle_start_of
from domain.time_series.windows import TimeWindow
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.requests.paging import Cursor
from interfaces.web.route_policy import READER, RoutePolicy
from projections.queries.views import MAX_PAGE_ROWS, all_rows

MOST_FACILITIES = 2_000
"""In one sum; no DR event has more."""
Hours = Annotated[int, QueryParameter(ge=1, le=72, description="The last so many hours")]
Part = Annotated[
    int | None,
    QueryParameter(
        ge=1,
        le=MAX_PAGE_ROWS,
        description="The number of facilities in one part, by their ids; the parts add up",
    ),
]


class PortfolioLoadDocument(msgspec.Struct, frozen=True, kw_only=True):
    facilities: int
    step_s: int
    steps: tuple[SummedStep, ...]
    next_cursor: str | None = None
    """The beginning of the next part, if a part was requested."""


class PortfolioLoadController(Controller):
    path = "/api/portfolio/load"
    tags = ("portfolio",)

    @get(
        "/",
        summary="The summed load of all facilities",
        policy=RoutePolicy(roles=READER, cache="primary", projections=("facilities",)),
    )
    async def whole(
        self, web: Web, *, hours: Hours = 6, cursor: Cursor = None, limit: Part = None
    ) -> PortfolioLoadDocument:
        """By completed quarter-hours. More than 2,000 facilities are summed in parts: with `limit`, then `cursor`."""
        view, next_cursor = web.read_models.facilities, None
        if limit is None and cursor is None:
            rows = await asyncio.to_thread(lambda: list(all_rows(view)))
        else:
            page = await asyncio.to_thread(view.listed, cursor=cursor, limit=limit or MAX_PAGE_ROWS)
            rows, next_cursor = list(page.rows), page.next_cursor
        ids = [row.facility_id for row in rows if row.status != "deactivated"]
        last = cycle_start_of(web.clock.now())
        window = TimeWindow(last - timedelta(hours=hours), last)
        step_s = int(CYCLE.total_seconds())
        return PortfolioLoadDocument(
            facilities=len(ids),
            step_s=step_s,
            steps=await summed_loads(web, ids, window, step_s),
            next_cursor=next_cursor,
        )


async def summed_loads(
    web: WebDependencies, facility_ids: Collection[str], window: TimeWindow | None, step_s: int
) -> tuple[SummedStep, ...]:
    """The histories are requested concurrently, so that the store is read once."""
    if len(facility_ids) > MOST_FACILITIES:
        raise _too_many(len(facility_ids))
    if window is None:
        return ()
    loads = await asyncio.gather(
        *(web.histories.history(one, window, step_s) for one in sorted(facility_ids))
    )
    return summed([one.series for one in loads])


def _too_many(count: int) -> Problem:
    detail = (
        f"{count} facilities are too many for one sum, which has {MOST_FACILITIES} at most; of a portfolio ask for "
        f"parts, `?limit={MAX_PAGE_ROWS}` and then `&cursor=` with the `next_cursor` of each: the parts add up"
    )
    return Problem("invalid-request", detail, (ProblemReason(code="too_many_facilities", detail=detail),))
