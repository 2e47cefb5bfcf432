"""Routes of current values: of one facility, rate-limited; or of many in one response."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Controller, Response, get
from litestar.params import FromPath, QueryParameter
from msgspec.structs import replace

from application.ports.clock import Clock
from application.ports.telemetry.store import CurrentValue
from application.telemetry.cached_reader import CachedAnswer, Source
from interfaces.web.edge import Web, models_of
from interfaces.web.guard.access import ApiRequest, check_read_rate
from interfaces.web.middleware.stale_headers import stale_headers_of
from interfaces.web.middleware.stale_responses import aging
from interfaces.web.problems import Problem, try_again
from interfaces.web.requests.paging import Cursor, Limit
from interfaces.web.requests.visibility import check_visible
from interfaces.web.route_policy import FACILITY_READER, READER, RoutePolicy
from projections.queries.views import MAX_PAGE_ROWS

STALE_AFTER_S = 120.0
"""Clock seconds; meters report every 15 s."""

Ids = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=64 * MAX_PAGE_ROWS,
        description=f"Comma-separated facility ids, {MAX_PAGE_ROWS} at most; without it, all of them by cursor",
    ),
]


class CurrentDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The current load of a facility, from its meters."""

    facility_id: str
    kw: float | None
    measured_at: datetime | None
    age_s: float | None
    """Clock seconds since `measured_at`."""
    stale: bool
    source: Source | Literal["none"]
    """`last_known`: the store does not answer; `none`: no meter has ever reported."""

    def aged(self, since_s: float) -> CurrentDocument:
        if self.age_s is None:
            return self
        return replace(self, age_s=self.age_s + since_s, stale=True, source="last_known")


class CurrentListing(msgspec.Struct, frozen=True, kw_only=True):
    """In order of facility ids, or as requested."""

    items: tuple[CurrentDocument, ...]
    unknown: tuple[str, ...] = ()
    """Requested ids that do not exist."""
    next_cursor: str | None = None

    def aged(self, since_s: float) -> CurrentListing:
        return replace(self, items=tuple(item.aged(since_s) for item in self.items))


class CurrentController(Controller):
    path = "/api/facilities/{facility_id:str}/current"
    tags = ("facilities",)

    @get(
        "/",
        summary="Its current load",
        policy=RoutePolicy(
            roles=FACILITY_READER, one_facility=True, cache="stale", needs_store=False, rate_limit="none"
        ),
    )
    async def one(
        self, request: ApiRequest, web: Web, facility_id: FromPath[str]
    ) -> Response[CurrentDocument]:
        """A key may read one facility once a second; /api/portfolio/current returns many."""
        may_see = request.user.facility_id in (None, facility_id)
        # A facility that is known, and that the key may see, has a limit of its own below.
        if not (may_see and web.facilities.is_cached(facility_id)):
            check_read_rate(web, request.user)
        await check_visible(request, facility_id)
        read = await web.current_reads.read(request.user.key_id, facility_id)
        if read.answer is None:
            raise try_again(
                "rate-exceeded",
                "this facility was just read with this key; many at once are at /api/portfolio/current",
                retry_after_s=read.wait_s,
            )
        document = current_document(facility_id, read.answer, web.clock)
        headers = stale_headers_of([read.answer], web.clock)
        return Response(aging(request.scope, document), headers={"ETag": tag_of(document), **headers})


class CurrentOfAllController(Controller):
    path = "/api/portfolio/current"
    tags = ("portfolio",)

    @get(
        "/",
        summary="Current loads of many facilities",
        policy=RoutePolicy(roles=READER, cache="stale"),
    )
    async def listed(
        self, request: ApiRequest, web: Web, *, ids: Ids = None, cursor: Cursor = None, limit: Limit = 100
    ) -> Response[CurrentListing]:
        """The values in one round trip to the cache, for any number of facilities."""
        unknown: tuple[str, ...] = ()
        next_cursor = None
        if ids is not None:
            named = _named(ids)
            existing = await asyncio.to_thread(web.facilities.among, named)
            wanted = [facility_id for facility_id in named if facility_id in existing]
            unknown = tuple(facility_id for facility_id in named if facility_id not in existing)
        else:
            view = models_of(request).facilities
            page = await asyncio.to_thread(view.listed, cursor=cursor, limit=limit)
            wanted, next_cursor = [row.facility_id for row in page.rows], page.next_cursor
            web.facilities.add(wanted)
        answers = await web.current_values.current(wanted)
        clock = web.clock
        items = tuple(current_document(facility_id, answers[facility_id], clock) for facility_id in wanted)
        listing = CurrentListing(items=items, unknown=unknown, next_cursor=next_cursor)
        return Response(aging(request.scope, listing), headers=stale_headers_of(answers.values(), clock))


def _named(ids: str) -> list[str]:
    """The ids without duplicates, in their order. Raises Problem (400)."""
    named = list(dict.fromkeys(ids.split(",")))
    if len(named) > MAX_PAGE_ROWS:
        raise Problem("invalid-request", f"`ids` names {len(named)} facilities; {MAX_PAGE_ROWS} go at once")
    return named


def tag_of(document: CurrentDocument) -> str:
    """The `ETag`: unchanged while only the age changes. `stale` and `source` are part of it."""
    at_ms = 0 if document.measured_at is None else int(document.measured_at.timestamp() * 1000)
    state = f"{document.stale:d}{document.source == 'last_known':d}"
    return f'W/"{document.facility_id}-{at_ms}-{document.kw}-{state}"'


def current_document(facility_id: str, answer: CachedAnswer[CurrentValue], clock: Clock) -> CurrentDocument:
    value = answer.value
    if value is None:
        return CurrentDocument(
            facility_id=facility_id, kw=None, measured_at=None, age_s=None, stale=True, source="none"
        )
    age_s = (clock.now() - value.measured_at).total_seconds()
    return CurrentDocument(
        facility_id=facility_id,
        kw=value.kw,
        measured_at=value.measured_at,
        age_s=age_s,
        # A time in the future is stale too: a clock was set back.
        stale=value.kw is None or abs(age_s) > STALE_AFTER_S or answer.source == "last_known",
        source=answer.source,
    )
