"""A DR event over many facilities that ran and was measured, in the log of a benchmark's database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import sin
from uuid import UUID

from application.ports.event_store.event_store import SaveBounds, SaveRequest
from domain.baseline import BaselineParameters
from domain.dispatch import AdjustmentFigures, Dispatch, Interval, MeasuredDay, MeasurementFigures, ZonePlan
from domain.dr_event import Batch, DREvent, FacilityTarget, Notice
from domain.event_sourcing.aggregate import Provenance
from domain.facility import BmsLink
from domain.identifiers import dispatch_id
from domain.program import Program
from domain.program.settlement_rule import Capacity, Deadline, Energy, Penalty, SettlementRule, Tier
from interfaces.bootstrap.stores import Stores
from tests.sample_values import program_terms

STARTS_AT = datetime(2026, 7, 14, 20, 0, tzinfo=UTC)
QUARTER, HOURS, STEPS = timedelta(minutes=15), 2, 8
ENDS_AT = STARTS_AT + timedelta(hours=HOURS)
PROGRAM, UTILITY = "bench-program", "bench-utility"
COMMITTED_KW = 100.0
ALL = SaveBounds(5_000, 64 * 1024 * 1024)
AT_ONCE = 500
RULE = SettlementRule(
    currency="USD",
    capacity=Capacity(
        rate="4.00", unit="kw-event", tiers=(Tier(from_="0", a="0", b="1"),), quantity="committed"
    ),
    energy=Energy(rate="0.35"),
    penalty=Penalty(rate="0.10"),
    deadline=Deadline(final_after_days=3_660),
)
PROVENANCE = Provenance(
    correlation_id=UUID(int=1),
    causation_id=UUID(int=2),
    actor="bench",
    tenant=UTILITY,
    trace_id="0" * 32,
    recorded_at=STARTS_AT - timedelta(hours=2),
)


def record_program(stores: Stores) -> None:
    program = Program.open(PROVENANCE, program_id=PROGRAM, utility_id=UTILITY)
    program.agree_terms(PROVENANCE, terms=program_terms(settlement=RULE))
    stores.events.save([program])


def record_corrected(stores: Stores, dr_event_id: UUID, number: int) -> None:
    """Record another measurement of one facility."""
    dispatch = stores.events.load(Dispatch, dispatch_id(dr_event_id, f"bench-{number:05d}"))
    dispatch.remeasure(
        PROVENANCE, corrected_at=ENDS_AT, reason="readings were corrected", figures=figures_of(number, 10.0)
    )
    stores.events.save([dispatch])


def record_measured(stores: Stores, facilities: int, *, name: str) -> UUID:
    """Record the DR event, and each facility's dispatch with its measurement."""
    ids = tuple(f"bench-{number:05d}" for number in range(facilities))
    dr_event = _dr_event(ids, name)
    stores.events.save([dr_event], bounds=ALL)
    for start in range(0, len(ids), AT_ONCE):
        requests = [
            SaveRequest([_dispatch(dr_event.id, facility_id, start + number)])
            for number, facility_id in enumerate(ids[start : start + AT_ONCE])
        ]
        for error in stores.events.save_each(requests):
            if error is not None:
                raise error
    return dr_event.id


def _dr_event(ids: tuple[str, ...], name: str) -> DREvent:
    dr_event = DREvent.open(PROVENANCE, utility_id=UTILITY, utility_event_id=name)
    notice = Notice(
        notification_id="n-1",
        modification_number=0,
        program_id=PROGRAM,
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        target_kw=COMMITTED_KW * len(ids),
        facility_ids=ids,
        priority=1,
    )
    dr_event.accept(
        PROVENANCE,
        notice=notice,
        program_version=1,
        capacity_kw=notice.target_kw,
        capacity_source="forecast",
        shortfall_kw=0.0,
    )
    targets = tuple(
        FacilityTarget(
            facility_id=one,
            target_kw=COMMITTED_KW,
            headroom_kw=150.0,
            forecast_id=None,
            forecast_position=None,
            data_quality="full",
            blocked=False,
        )
        for one in ids
    )
    dr_event.schedule(PROVENANCE, prepare_at=PROVENANCE.recorded_at, targets=targets, missing_kw=0.0)
    dr_event.start_preparation(PROVENANCE, now=STARTS_AT)
    dr_event.start(PROVENANCE, now=STARTS_AT)
    dr_event.end(PROVENANCE, now=ENDS_AT)
    count = len(ids)
    batch = Batch(asked=count, prepared=count, committed=count, failed=0, restored=count)
    dr_event.complete(PROVENANCE, batch=batch, failed_facilities=())
    dr_event.measure(PROVENANCE, delivered_kw=1.0, measured_facilities=count, unmeasured_facilities=())
    return dr_event


def _dispatch(dr_event_id: UUID, facility_id: str, number: int) -> Dispatch:
    dispatch = Dispatch.plan(
        PROVENANCE,
        dr_event_id=dr_event_id,
        facility_id=facility_id,
        plan_revision=1,
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        expires_at=ENDS_AT + timedelta(minutes=30),
        target_kw=COMMITTED_KW,
        bms=BmsLink(address="http://127.0.0.1:1/bms", profile="two_phase"),
        zones=(ZonePlan(zone_id="hall", target_kw=COMMITTED_KW, strategy="setpoint_offset", magnitude=2.0),),
        forecast_id=None,
        data_quality="full",
    )
    for kind in (Dispatch.Prepared, Dispatch.Committed, Dispatch.VerifiedByBms, Dispatch.Restored):
        dispatch.record(kind, PROVENANCE)
    dispatch.measure(PROVENANCE, figures=figures_of(number, 0.0))
    return dispatch


def figures_of(number: int, more_kw: float) -> MeasurementFigures:
    """A measurement as a program with ten baseline days gives it; `more_kw` above the first meter."""
    adjusted = [400.0 + sin(number + step) * 40 for step in range(STEPS)]
    metered = [kw - 95.0 + sin(number * step) * 20 + more_kw for step, kw in enumerate(adjusted)]
    return MeasurementFigures(
        baseline_method="caiso-10-in-10",
        parameters=BaselineParameters(),
        tz="America/New_York",
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        days=tuple(_days(number)),
        adjustment=AdjustmentFigures(
            kind="multiplicative", value=1.03, raw=1.03, baseline_kw=390.0, metered_kw=401.7
        ),
        intervals=tuple(
            Interval(
                starts_at=STARTS_AT + QUARTER * step,
                baseline_kw=adjusted[step] / 1.03,
                adjusted_kw=adjusted[step],
                metered_kw=metered[step],
                delivered_kw=adjusted[step] - metered[step],
            )
            for step in range(STEPS)
        ),
        coverage_pct=100.0,
        delivered_kw=95.0,
        holidays_of="US",
        data_hash=f"{number:032x}{abs(more_kw):032.1f}",
        figures_hash=f"{number:032x}{abs(more_kw):032.1f}",
    )


def _days(number: int) -> Iterator[MeasuredDay]:
    for back in range(10):
        yield MeasuredDay(
            day=(STARTS_AT.date() - timedelta(days=back + 1)).isoformat(),
            use="used",
            mean_kw=380.0 + back,
            window_kw=tuple(380.0 + sin(number + back + step) * 30 for step in range(STEPS)),
            adjustment_kw=tuple(370.0 + sin(number * back + step) * 30 for step in range(12)),
        )
