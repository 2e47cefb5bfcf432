"""Route of the load history of a facility, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Annotated, Literal

import msgspec
from litestar import Controller, Response, get
from litestar.params import FromPath, FromQuery, QueryParameter

from application.telemetry.cached_reader import Source
from application.telemetry.load_history import (
    LONGEST_S,
    MAX_STEPS,
    HistoryAnswer,
    HistoryTooLong,
    check_length,
)
from domain.telemetry.load_history import LoadHistory
from domain.time_series.interval_block import steps_in
from domain.time_series.windows import NotAligned, TimeWindow
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.middleware.stale_headers import stale_headers_of
from interfaces.web.middleware.stale_responses import aging
from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.requests.paging import Cursor
from interfaces.web.requests.visibility import check_visible
from interfaces.web.route_policy import FACILITY_READER, RoutePolicy

Resolution = Literal["15s", "1m", "15m", "1h"]
STEPS_S: dict[Resolution, int] = {"15s": 15, "1m": 60, "15m": 900, "1h": 3_600}
LONGEST = timedelta(seconds=max(LONGEST_S.values()))
EARLIEST_YEAR, LATEST_YEAR = 2000, 2199

Steps = Annotated[int, QueryParameter(ge=1, le=MAX_STEPS, description="How many steps at most")]


class LoadHistoryController(Controller):
    path = "/api/facilities"
    tags = ("facilities",)

    @get(
        "/{facility_id:str}/history",
        summary="Load by 15 s, minute, quarter-hour or hour",
        policy=RoutePolicy(roles=FACILITY_READER, one_facility=True, cache="stale", needs_store=False),
    )
    async def history(
        self,
        request: ApiRequest,
        web: Web,
        facility_id: FromPath[str],
        first: Annotated[datetime, QueryParameter(name="from")],
        last: Annotated[datetime, QueryParameter(name="to")],
        *,
        resolution: FromQuery[Resolution] = "15m",
        cursor: Cursor = None,
        limit: Steps = MAX_STEPS,
    ) -> Response[HistoryDocument]:
        """15s for at most a day, from single readings; 1m for 31 days; 15m and 1h for 92 days, including imports."""
        await check_visible(request, facility_id)
        step_s = STEPS_S[resolution]
        window = window_of(first, last, step_s)
        try:
            steps_in(window, step_s)
            page = page_of(window, step_s, cursor, limit)
            found = await web.histories.history(facility_id, page, step_s)
        except NotAligned as error:
            raise Problem("invalid-request", str(error)) from None
        document = document_of(facility_id, found, window, page, web.clock.now())
        return Response(aging(request.scope, document), headers=stale_headers_of([found.answer], web.clock))


class HistoryStep(msgspec.Struct, frozen=True, kw_only=True):
    """Values are null if readings are missing."""

    starts_at: datetime
    kw: float | None
    """Mean over the step."""
    kwh: float | None
    min_kw: float | None
    max_kw: float | None
    """Null also if an imported file had the mean only."""
    coverage_pct: float


class HistoryDocument(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    step_s: int
    steps: tuple[HistoryStep, ...]
    age_s: float
    """Clock seconds since the store was read."""
    stale: bool
    source: Source
    next_cursor: str | None = None

    def aged(self, since_s: float) -> HistoryDocument:
        return msgspec.structs.replace(self, age_s=self.age_s + since_s, stale=True, source="last_known")


def window_of(first: datetime, last: datetime, step_s: int) -> TimeWindow:
    """Raises Problem for an invalid window; `history_too_long` if a coarser resolution would be accepted."""
    if first.tzinfo is None or last.tzinfo is None:
        raise Problem("invalid-request", "`from` and `to` are times with an offset, as 2026-07-14T21:00:00Z")
    if first.year < EARLIEST_YEAR or last.year > LATEST_YEAR:  # others may not exist in UTC
        raise Problem("invalid-request", f"`from` and `to` are in the years {EARLIEST_YEAR} to {LATEST_YEAR}")
    if not timedelta(0) < last - first <= LONGEST:
        raise Problem("invalid-request", f"`to` comes after `from`, by at most {LONGEST.days} days")
    window = TimeWindow(first.astimezone(UTC), last.astimezone(UTC))
    try:
        check_length(window, step_s)
    except HistoryTooLong as error:
        reason = ProblemReason(code="history_too_long", detail=str(error), field="to")
        raise Problem("invalid-request", str(error), (reason,)) from None
    return window


def page_of(window: TimeWindow, step_s: int, cursor: str | None, limit: int) -> TimeWindow:
    """The part of `window` on this page. Raises Problem for a cursor of another history."""
    starts_at = window.starts_at
    if cursor is not None:
        try:
            starts_at = datetime.fromisoformat(cursor)
            steps_on = (starts_at - window.starts_at) / timedelta(seconds=step_s)
        except (ValueError, TypeError):
            raise _not_ours() from None
        if steps_on % 1 or not window.contains(starts_at):
            raise _not_ours()
    last = min(window.ends_at, starts_at + timedelta(seconds=step_s * limit))
    return TimeWindow(starts_at, last)


def _not_ours() -> Problem:
    return Problem(
        "invalid-request", "`cursor` is `next_cursor` of the page before, with the same `from`, `to`"
    )


def document_of(
    facility_id: str, found: HistoryAnswer, window: TimeWindow, page: TimeWindow, now: datetime
) -> HistoryDocument:
    return HistoryDocument(
        facility_id=facility_id,
        step_s=found.series.step_s,
        steps=steps_of(found.series),
        age_s=(now - found.answer.read_at).total_seconds(),
        stale=found.answer.source == "last_known",
        source=found.answer.source,
        # Without a plus sign, which an address would have to escape.
        next_cursor=f"{page.ends_at:%Y-%m-%dT%H:%M:%SZ}" if page.ends_at < window.ends_at else None,
    )


def steps_of(series: LoadHistory) -> tuple[HistoryStep, ...]:
    columns = (series.mean_kw, series.kwh, series.min_kw, series.max_kw, series.coverage_pct)
    return tuple(
        HistoryStep(
            starts_at=series.starts_at + timedelta(seconds=series.step_s * n),
            kw=_present(kw),
            kwh=_present(kwh),
            min_kw=_present(low),
            max_kw=_present(high),
            coverage_pct=coverage_pct,
        )
        for n, (kw, kwh, low, high, coverage_pct) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    )


def _present(value: float) -> float | None:
    return None if isnan(value) else value
