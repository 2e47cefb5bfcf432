"""Routes of the numbers of a DR event with the domain events that they come from, and how each was measured."""

import asyncio
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import FromPath, QueryParameter
from msgspec.structs import replace

from domain.dispatch import MeasurementFigures
from domain.event_sourcing.decoders import converted
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem
from interfaces.web.requests.as_of import AsOfQuery, fold_log, parse_as_of, visible_dr_event
from interfaces.web.requests.paging import Cursor
from interfaces.web.route_policy import READER_OR_UTILITY, RoutePolicy
from projections.as_of.measurement_history import MeasurementHistory, measurement_history
from projections.as_of.number_origins import (
    NumberOrigin,
    dispatch_number_origins,
    dr_event_number_origins,
)
from projections.audit.stream_log import StreamLog
from projections.dispatch.projection import key_of

MOST_FACILITIES = 100
"""In one answer: their numbers are folded from the log."""
FewAtOnce = Annotated[
    int, QueryParameter(ge=1, le=MOST_FACILITIES, description="How many facilities at most")
]


class OriginDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A domain event: its topic, and its position in the log (a step of the audit trail)."""

    topic: str
    position: int | None
    """Null for a utility: positions count the domain events of all."""
    recorded_at: datetime


class NumberDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A number; its unit is in its name. `origin` gave it this value."""

    name: str
    value: float
    origin: OriginDocument


class FacilityNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one facility's dispatch."""

    facility_id: str
    numbers: tuple[NumberDocument, ...]


class MeasurementsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the DR event, and a page of its facilities. A number that is not known yet is left out."""

    dr_event_id: UUID
    numbers: tuple[NumberDocument, ...]
    """Of the whole; empty for a key of one facility."""
    items: tuple[FacilityNumbers, ...]
    next_cursor: str | None = None


class RevisionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement of a facility; the last one is in force."""

    revision: int
    delivered_kw: float | None
    """Null: not measurable, or withdrawn."""
    reason: str
    """Why it is not measurable, or why it was measured again."""
    corrected_at: datetime | None
    """Of the newest correction of readings that caused it."""
    origin: OriginDocument


TOriginated = TypeVar("TOriginated", NumberDocument, RevisionDocument)


class FacilityMeasurementDocument(FacilityNumbers, frozen=True, kw_only=True):
    """How one facility was measured."""

    dr_event_id: UUID
    figures: MeasurementFigures | None
    """The measurement in force; null: nothing is measured, or the measurement was withdrawn. For a utility, the
    days on which the facility served another DR event are left out."""
    revisions: tuple[RevisionDocument, ...]
    """The oldest first; empty: not measured yet."""


class MeasurementsController(Controller):
    path = "/api/dr-events/{dr_event_id:uuid}/measurements"
    tags = ("DR events",)

    @get(
        "/",
        summary="Each number with the domain event that it comes from",
        policy=RoutePolicy(
            roles=READER_OR_UTILITY,
            one_facility=True,
            cache="stale",
            projections=("dr_events", "dispatches"),
        ),
    )
    async def whole(
        self,
        request: ApiRequest,
        dr_event_id: FromPath[UUID],
        *,
        cursor: Cursor = None,
        limit: FewAtOnce = 50,
        as_of: AsOfQuery = None,
    ) -> MeasurementsDocument:
        """A key of one facility sees the numbers of that facility."""
        past, own, tenant = parse_as_of(as_of), request.user.facility_id, request.user.utility_id
        visible = await visible_dr_event(request, dr_event_id, past)
        page = await asyncio.to_thread(
            visible.dispatches.listed,
            filters={"dr_event_id": str(dr_event_id)} | ({} if own is None else {"facility_id": own}),
            tenant=tenant,
            cursor=cursor,
            limit=limit,
        )
        ids = [row.facility_id for row in page.rows]

        def read(log: StreamLog) -> tuple[tuple[NumberOrigin, ...], dict[str, tuple[NumberOrigin, ...]]]:
            whole = dr_event_number_origins(log, dr_event_id, past) if own is None else ()
            return whole, dispatch_number_origins(log, dr_event_id, ids, past)

        numbers, parts = await fold_log(request, read)
        return MeasurementsDocument(
            dr_event_id=dr_event_id,
            numbers=_numbers(numbers, tenant),
            items=tuple(FacilityNumbers(facility_id=i, numbers=_numbers(parts[i], tenant)) for i in ids),
            next_cursor=page.next_cursor,
        )

    @get(
        "/{facility_id:str}",
        summary="How one facility was measured: every figure, its days, and its revisions",
        policy=RoutePolicy(
            roles=READER_OR_UTILITY,
            one_facility=True,
            cache="stale",
            projections=("dr_events", "dispatches"),
        ),
    )
    async def one(
        self,
        request: ApiRequest,
        dr_event_id: FromPath[UUID],
        facility_id: FromPath[str],
        *,
        as_of: AsOfQuery = None,
    ) -> FacilityMeasurementDocument:
        past, tenant = parse_as_of(as_of), request.user.utility_id
        visible = await visible_dr_event(request, dr_event_id, past)
        key = key_of(dr_event_id, facility_id)
        row = await asyncio.to_thread(visible.dispatches.get, key, tenant=tenant)
        if row is None or request.user.facility_id not in (None, facility_id):
            raise Problem("not-found", f"{facility_id[:200]} has no part in that DR event (then)")

        def read(log: StreamLog) -> tuple[MeasurementHistory, dict[str, tuple[NumberOrigin, ...]]]:
            history = measurement_history(log, row.dispatch_id, past)
            return history, dispatch_number_origins(log, dr_event_id, [facility_id], past)

        history, numbers = await fold_log(request, read)
        figures = history.figures
        return FacilityMeasurementDocument(
            dr_event_id=dr_event_id,
            facility_id=facility_id,
            numbers=_numbers(numbers[facility_id], tenant),
            figures=figures if figures is None or tenant is None else _for_utility(figures),
            revisions=_without_positions(
                converted(history.revisions, tuple[RevisionDocument, ...], from_attributes=True), tenant
            ),
        )


def _for_utility(figures: MeasurementFigures) -> MeasurementFigures:
    """Without the days of other DR events, which may be those of another utility."""
    skipped = tuple(day for day in figures.skipped if day.why != "dr_event_day")
    return replace(figures, skipped=skipped, dr_event_days=())


def _numbers(origins: tuple[NumberOrigin, ...], tenant: str | None) -> tuple[NumberDocument, ...]:
    return _without_positions(converted(origins, tuple[NumberDocument, ...], from_attributes=True), tenant)


def _without_positions(documents: tuple[TOriginated, ...], tenant: str | None) -> tuple[TOriginated, ...]:
    """For a utility, without positions in the log, which would tell how much others have recorded."""
    if tenant is None:
        return documents
    return tuple(replace(one, origin=replace(one.origin, position=None)) for one in documents)
