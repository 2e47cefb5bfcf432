"""Route of the missing readings of a facility: by hour, and which of which meter."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.params import FromPath, QueryParameter

from application.telemetry.reading_gaps import FacilityGaps, GapsWindowTooLong, ReadingsRemoved
from domain.telemetry.reading_gaps import CounterRestart, HourCounts, MeterGaps, SeqHole, TimeGap
from domain.time_series.windows import InvalidWindow, TimeWindow
from interfaces.web.api.telemetry.load_history import EARLIEST_YEAR, LATEST_YEAR
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.requests.command_context import tenant_of
from interfaces.web.requests.visibility import visible_facility
from interfaces.web.route_policy import FACILITY_READER, RoutePolicy


class GapHour(msgspec.Struct, frozen=True, kw_only=True):
    """A UTC hour."""

    starts_at: datetime
    readings: int
    missing: int
    """By time: readings expected every `cadence_s` that are not there."""
    missing_seqs: int
    """By the meter's own numbers: readings that were made and did not arrive."""
    unusable: int
    """Readings that the meter called bad or missing."""
    restarts: int
    """How often a meter's numbers began elsewhere."""


class FacilityGapHour(GapHour, frozen=True, kw_only=True):
    """The sums over the listed meters."""

    meters_short: int
    """How many of them miss a reading."""


class MeterGapsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The newest 50 of `gaps`, `holes` and `restarts`, each; the hours count all of them."""

    meter_id: str
    cadence_s: float
    newest_at: datetime | None
    short_hours: tuple[GapHour, ...]
    """Without those in which nothing is missing."""
    gaps: tuple[TimeGap, ...]
    holes: tuple[SeqHole, ...]
    restarts: tuple[CounterRestart, ...]


class FacilityGapsDocument(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    starts_at: datetime
    ends_at: datetime
    """Newer readings may still be under way."""
    hours: tuple[FacilityGapHour, ...]
    meters: tuple[MeterGapsDocument, ...]
    """The listed ones; those with readings where the portfolio lists none."""
    unlisted_meters: tuple[str, ...]
    """Meters with readings that the portfolio does not list."""


class ReadingGapsController(Controller):
    path = "/api/facilities/{facility_id:str}/gaps"
    tags = ("facilities",)

    @get(
        "/",
        summary="Missing readings by hour and meter",
        policy=RoutePolicy(
            roles=FACILITY_READER, one_facility=True, cache="stale", projections=("facilities",)
        ),
    )
    async def one(
        self,
        request: ApiRequest,
        web: Web,
        facility_id: FromPath[str],
        first: Annotated[datetime | None, QueryParameter(name="from")] = None,
        last: Annotated[datetime | None, QueryParameter(name="to")] = None,
    ) -> FacilityGapsDocument:
        """At most 7 days and 12,000 hours times meters, from a whole hour on; the last day by default."""
        row = await visible_facility(request, facility_id)
        sources = web.gap_sources
        try:
            window = sources.window(_utc(first, "from"), _utc(last, "to"), len(row.meters))
            read = partial(
                asyncio.to_thread, sources.facility_gaps, facility_id, frozenset(row.meters), window
            )
            found = await web.gaps_limit.run(tenant_of(request), read)
        except GapsWindowTooLong as error:
            reason = ProblemReason(code="gaps_window_too_long", detail=str(error), field="from")
            raise Problem("invalid-request", str(error), (reason,)) from None
        except ReadingsRemoved as error:
            raise Problem("not-found", str(error)) from None
        except InvalidWindow as error:
            raise Problem("invalid-request", str(error)) from None
        return document_of(found, window)


def _utc(moment: datetime | None, name: str) -> datetime | None:
    """Raises Problem."""
    if moment is None:
        return None
    if moment.tzinfo is None or not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        raise Problem("invalid-request", f"`{name}` is a time with an offset, as 2026-07-14T21:00:00Z")
    return moment.astimezone(UTC)


def document_of(found: FacilityGaps, window: TimeWindow) -> FacilityGapsDocument:
    return FacilityGapsDocument(
        facility_id=found.facility_id,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        hours=tuple(
            FacilityGapHour(**msgspec.structs.asdict(hour), meters_short=short)
            for hour, short in zip(found.hours, found.meters_short, strict=True)
        ),
        meters=tuple(map(_meter_document, found.meters)),
        unlisted_meters=found.strays,
    )


def _meter_document(one: MeterGaps) -> MeterGapsDocument:
    return MeterGapsDocument(
        meter_id=one.meter_id,
        cadence_s=one.cadence_s,
        newest_at=one.newest_at,
        short_hours=tuple(_hour_document(hour) for hour in one.hours if hour.is_short or hour.restarts),
        gaps=one.gaps,
        holes=one.holes,
        restarts=one.restarts,
    )


def _hour_document(hour: HourCounts) -> GapHour:
    return GapHour(**msgspec.structs.asdict(hour))
