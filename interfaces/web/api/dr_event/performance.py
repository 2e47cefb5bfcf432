"""Routes of the performance of a DR event: target, delivered load, and how it was measured."""

import asyncio
from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import FromPath

from domain.dispatch import DispatchStatus, Interval
from domain.dr_event import DREventStatus, Outcome, SettlementStatus
from domain.event_sourcing.decoders import converted
from interfaces.web.api.dr_event.documents import BatchDocument, MeasurementDocument
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem
from interfaces.web.requests.as_of import AsOfQuery, parse_as_of, read_log, visible_dr_event
from interfaces.web.requests.paging import Cursor, Filter, Limit
from interfaces.web.route_policy import READER_OR_UTILITY, RoutePolicy
from projections.as_of.measurement_history import measurement_in_force
from projections.dispatch.projection import DispatchRow, key_of
from projections.dr_event.projection import DREventRow


class FacilityPerformance(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's part; kW are means over its window."""

    facility_id: str
    status: DispatchStatus
    starts_at: datetime
    ends_at: datetime
    target_kw: float
    delivered_kw_so_far: float | None
    """From the meters while the window ran; not a measurement."""
    delivered_kw: float | None
    delivered_share: float | None
    """Delivered load divided by the target; below 0 if the load was above the baseline."""
    verified_by_bms_at: datetime | None
    verified_by_meter_at: datetime | None
    measurement: MeasurementDocument | None
    not_measurable_reason: str | None


class PerformanceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The DR event in total, and a page of its facilities; null: not measured yet, or not measurable."""

    dr_event_id: UUID
    status: DREventStatus
    outcome: Outcome | None
    settlement_status: SettlementStatus
    starts_at: datetime | None
    ends_at: datetime | None
    target_kw: float
    """As the utility requested."""
    shortfall_kw: float
    """The part of the target that no plan could cover."""
    delivered_kw: float | None
    delivered_share: float | None
    measured_at: datetime | None
    remeasured_at: datetime | None
    measured_facilities: int | None
    unmeasured_facilities: tuple[str, ...]
    unmeasured_reasons: dict[str, int] = {}
    """Why -> how many facilities could not be measured."""
    batch: BatchDocument | None
    items: tuple[FacilityPerformance, ...]
    next_cursor: str | None = None


class FacilityPerformanceDocument(FacilityPerformance, frozen=True, kw_only=True):
    """A facility's part with the intervals of its current measurement, from the log."""

    dr_event_id: UUID
    intervals: tuple[Interval, ...]
    """Empty if nothing is measured, or the measurement was withdrawn."""


class PerformanceController(Controller):
    path = "/api/dr-events/{dr_event_id:uuid}/performance"
    tags = ("DR events",)

    @get(
        "/",
        summary="Requested and delivered load, in total and by facility",
        policy=RoutePolicy(roles=READER_OR_UTILITY, cache="replica", projections=("dr_events", "dispatches")),
    )
    async def whole(
        self,
        request: ApiRequest,
        dr_event_id: FromPath[UUID],
        *,
        status: Filter = None,
        cursor: Cursor = None,
        limit: Limit = 100,
        as_of: AsOfQuery = None,
    ) -> PerformanceDocument:
        """`status` is that of a facility's dispatch."""
        visible = await visible_dr_event(request, dr_event_id, parse_as_of(as_of))
        page = await asyncio.to_thread(
            visible.dispatches.listed,
            filters={"dr_event_id": str(dr_event_id)} | ({} if status is None else {"status": status}),
            tenant=request.user.utility_id,
            cursor=cursor,
            limit=limit,
        )
        return _document(visible.dr_event, page.rows, page.next_cursor)

    @get(
        "/{facility_id:str}",
        summary="One facility's part, interval by interval",
        policy=RoutePolicy(roles=READER_OR_UTILITY, cache="stale", projections=("dr_events", "dispatches")),
    )
    async def one(
        self,
        request: ApiRequest,
        dr_event_id: FromPath[UUID],
        facility_id: FromPath[str],
        *,
        as_of: AsOfQuery = None,
    ) -> FacilityPerformanceDocument:
        past = parse_as_of(as_of)
        visible = await visible_dr_event(request, dr_event_id, past)
        key = key_of(dr_event_id, facility_id)
        row = await asyncio.to_thread(visible.dispatches.get, key, tenant=request.user.utility_id)
        if row is None:
            raise Problem("not-found", f"{facility_id[:200]} has no part in that DR event (then)")
        figures = await read_log(
            request, lambda log: measurement_in_force(log, row.dispatch_id, past), as_of=past
        )
        intervals = () if figures is None else figures.intervals
        fields = msgspec.structs.asdict(_facility(row))
        return FacilityPerformanceDocument(**fields, dr_event_id=dr_event_id, intervals=intervals)


def _document(
    row: DREventRow, dispatches: tuple[DispatchRow, ...], next_cursor: str | None
) -> PerformanceDocument:
    computed = {"delivered_share", "batch", "items", "next_cursor"}
    fields = {
        name: getattr(row, name) for name in PerformanceDocument.__struct_fields__ if name not in computed
    }
    return PerformanceDocument(
        **fields,
        delivered_share=_share(row.delivered_kw, row.target_kw),
        batch=converted(row.batch, BatchDocument | None, from_attributes=True),
        items=tuple(map(_facility, dispatches)),
        next_cursor=next_cursor,
    )


def _facility(row: DispatchRow) -> FacilityPerformance:
    computed = {"delivered_share", "measurement"}
    names = (name for name in FacilityPerformance.__struct_fields__ if name not in computed)
    return FacilityPerformance(
        **{name: getattr(row, name) for name in names},
        delivered_share=_share(row.delivered_kw, row.target_kw),
        measurement=converted(row.measurement, MeasurementDocument | None, from_attributes=True),
    )


def _share(delivered_kw: float | None, target_kw: float) -> float | None:
    return None if delivered_kw is None or target_kw <= 0 else delivered_kw / target_kw
