"""Dispatches: how far each facility of a DR event got, zone by zone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, get_args
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.dispatch import (
    CommandRecord,
    CommandState,
    Dispatch,
    DispatchState,
    DispatchStatus,
    Phase,
    Setpoint,
)
from domain.event_sourcing import DomainEvent
from domain.facility import Strategy
from domain.identifiers import dispatch_id
from projections.read_model import FilterKind, Rows, existing, sortable


class CommandRow(msgspec.Struct, frozen=True, kw_only=True):
    """A zone's newest BMS command of one phase."""

    command_id: UUID
    round: int
    state: CommandState
    attempts: int


class ZoneRow(msgspec.Struct, frozen=True, kw_only=True):
    """A zone's part in the dispatch; `magnitude` in kelvin or percent, by strategy."""

    zone_id: str
    target_kw: float
    strategy: Strategy
    magnitude: float
    previous: Setpoint | None = None
    """Found at prepare; restore sends it back."""
    commands: dict[Phase, CommandRow] = {}
    curtailed: bool = False
    """By what is recorded: a commit succeeded, or may have, and no restore did since."""
    drifted: bool = False


class MeasurementRow(msgspec.Struct, frozen=True, kw_only=True):
    """Baseline minus meter, summed up; the intervals themselves are in the log."""

    baseline_method: str
    days: tuple[str, ...]
    adjustment_kind: str
    adjustment_value: float | None
    adjustment_clipped: bool
    coverage_pct: float
    intervals: int
    missing_intervals: int
    baseline_kw: float | None
    metered_kw: float | None
    """Means over the intervals that are not missing; `baseline_kw` is the adjusted one."""
    data_hash: str


class DispatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """One facility's dispatch in one DR event."""

    dispatch_id: UUID
    dr_event_id: UUID
    facility_id: str
    status: DispatchStatus
    tenant: str | None
    plan_revision: int
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime
    target_kw: float
    forecast_id: UUID | None
    data_quality: str
    zones: dict[str, ZoneRow]
    commands_outstanding: int = 0
    commands_given_up: int = 0
    was_prepared: bool = False
    was_committed: bool = False
    blocked_reason: str | None = None
    override_reason: str | None = None
    failed_phase: Literal["plan", "prepare", "commit"] | None = None
    failure: str | None = None
    restore_failure: str | None = None
    restore_retry_at: datetime | None = None
    delivered_kw_so_far: float | None = None
    """What the meter showed while the window ran."""
    delivered_kw: float | None = None
    """The measurement after the window: mean kW."""
    measurement: MeasurementRow | None = None
    not_measurable_reason: str | None = None
    state: DispatchState
    """The aggregate's own state, from which the above is drawn."""

    planned_at: datetime
    prepared_at: datetime | None = None
    committed_at: datetime | None = None
    verified_by_bms_at: datetime | None = None
    verified_by_meter_at: datetime | None = None
    restored_at: datetime | None = None
    failed_at: datetime | None = None
    concluded_at: datetime | None = None
    """Restored, compensated, aborted or, with nothing to undo, failed."""
    changed_at: datetime
    correlation_id: UUID
    trace_id: str


def key_of(dr_event_id: UUID, facility_id: str) -> str:
    """The dispatch's own id: the one thing that all its domain events name."""
    return str(dispatch_id(dr_event_id, facility_id))


class DispatchesProjection:
    name: ClassVar[str] = "dispatches"
    version: ClassVar[int] = 1
    row_type: ClassVar[type[DispatchRow]] = DispatchRow
    newest_first: ClassVar[bool] = False
    filters: ClassVar[Mapping[str, FilterKind]] = {
        "dr_event_id": "equals",
        "facility_id": "equals",
        "status": "equals",
    }

    def key(self, row: DispatchRow) -> str:
        return str(row.dispatch_id)

    def sort_key(self, row: DispatchRow) -> str:
        return f"{sortable(row.starts_at)} {row.facility_id}"

    def tenant(self, row: DispatchRow) -> str | None:
        return row.tenant

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        return [str(domain_event.originator_id)] if isinstance(domain_event, Dispatch.Event) else []

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[DispatchRow]) -> None:
        if isinstance(domain_event, Dispatch.Planned):
            rows.put(_planned(domain_event))
        elif isinstance(domain_event, Dispatch.Event):
            row = existing(rows, str(domain_event.originator_id), domain_event)
            evolved = _drawn_from_state(replace(row, state=domain_event.evolve(row.state)))
            noted = _NOTES.get(type(domain_event))
            changed = evolved if noted is None else noted(domain_event, evolved)
            rows.put(replace(changed, changed_at=domain_event.recorded_at))


def _planned(happened: Dispatch.Planned) -> DispatchRow:
    state = happened.initial_state()
    return DispatchRow(
        dispatch_id=happened.originator_id,
        dr_event_id=happened.dr_event_id,
        facility_id=happened.facility_id,
        status=state.status,
        tenant=happened.tenant,
        plan_revision=happened.plan_revision,
        starts_at=happened.starts_at,
        ends_at=happened.ends_at,
        expires_at=happened.expires_at,
        target_kw=happened.target_kw,
        forecast_id=happened.forecast_id,
        data_quality=happened.data_quality,
        zones=_zones(state, drifted=frozenset()),
        state=state,
        planned_at=happened.recorded_at,
        changed_at=happened.recorded_at,
        correlation_id=happened.correlation_id,
        trace_id=happened.trace_id,
    )


def _drawn_from_state(row: DispatchRow) -> DispatchRow:
    state = row.state
    standing = [record.state for record in state.commands.values()]
    return replace(
        row,
        status=state.status,
        was_prepared=state.was_prepared,
        was_committed=state.was_committed,
        failure=state.failure,
        delivered_kw=state.delivered_kw,
        commands_outstanding=standing.count("requested"),
        commands_given_up=standing.count("gave_up"),
        zones=_zones(state, drifted=frozenset(key for key, zone in row.zones.items() if zone.drifted)),
    )


def _zones(state: DispatchState, *, drifted: frozenset[str]) -> dict[str, ZoneRow]:
    latest = {phase: state.latest(phase) for phase in _PHASES}
    zones: dict[str, ZoneRow] = {}
    for zone_id, plan in sorted(state.zones.items()):
        records = {phase: latest[phase][zone_id] for phase in _PHASES if zone_id in latest[phase]}
        commit, restore = records.get("commit"), records.get("restore")
        zones[zone_id] = ZoneRow(
            zone_id=zone_id,
            target_kw=plan.target_kw,
            strategy=plan.strategy,
            magnitude=plan.magnitude,
            previous=state.previous.get(zone_id),
            commands={phase: _command(record) for phase, record in records.items()},
            curtailed=commit is not None
            and commit.state in {"succeeded", "gave_up"}
            and (restore is None or restore.state != "succeeded"),
            drifted=zone_id in drifted,
        )
    return zones


def _command(record: CommandRecord) -> CommandRow:
    return CommandRow(
        command_id=record.command.command_id,
        round=record.command.round,
        state=record.state,
        attempts=record.attempts,
    )


def _blocked(happened: Dispatch.Blocked, row: DispatchRow) -> DispatchRow:
    return replace(row, blocked_reason=happened.reason)


def _overridden(happened: Dispatch.ForecastOverridden, row: DispatchRow) -> DispatchRow:
    return replace(row, override_reason=happened.reason)


def _requested(
    happened: Dispatch.BmsCommandRequested | Dispatch.BmsCommandReissued, row: DispatchRow
) -> DispatchRow:
    return replace(row, restore_retry_at=None)


def _prepared(happened: Dispatch.Prepared, row: DispatchRow) -> DispatchRow:
    return replace(row, prepared_at=happened.recorded_at)


def _committed(happened: Dispatch.Committed, row: DispatchRow) -> DispatchRow:
    return replace(row, committed_at=happened.recorded_at)


def _verified_by_bms(happened: Dispatch.VerifiedByBms, row: DispatchRow) -> DispatchRow:
    calm = {zone_id: replace(zone, drifted=False) for zone_id, zone in row.zones.items()}
    return replace(row, verified_by_bms_at=happened.recorded_at, zones=calm)


def _drift_found(happened: Dispatch.DriftFound, row: DispatchRow) -> DispatchRow:
    drifted = replace(row.zones[happened.zone_id], drifted=True)
    return replace(row, zones={**row.zones, happened.zone_id: drifted})


def _verified_by_meter(happened: Dispatch.VerifiedByMeter, row: DispatchRow) -> DispatchRow:
    return replace(row, verified_by_meter_at=happened.recorded_at, delivered_kw_so_far=happened.delivered_kw)


def _restored(happened: Dispatch.Restored | Dispatch.Compensated, row: DispatchRow) -> DispatchRow:
    return replace(
        row,
        restored_at=happened.recorded_at,
        concluded_at=happened.recorded_at,
        restore_failure=None,
        restore_retry_at=None,
    )


def _restore_failed(happened: Dispatch.RestoreFailed, row: DispatchRow) -> DispatchRow:
    return replace(row, restore_failure=happened.reason, restore_retry_at=happened.retry_at)


def _failed(happened: Dispatch.Failed, row: DispatchRow) -> DispatchRow:
    concluded_at = None if row.state.to_undo() else happened.recorded_at
    return replace(
        row, failed_phase=happened.phase, failed_at=happened.recorded_at, concluded_at=concluded_at
    )


def _aborted(happened: Dispatch.Aborted, row: DispatchRow) -> DispatchRow:
    return replace(row, concluded_at=happened.recorded_at)


def _measured(happened: Dispatch.Measured, row: DispatchRow) -> DispatchRow:
    measurement = MeasurementRow(
        baseline_method=happened.baseline_method,
        days=happened.days,
        adjustment_kind=happened.adjustment_kind,
        adjustment_value=happened.adjustment_value,
        adjustment_clipped=happened.adjustment_clipped,
        coverage_pct=happened.coverage_pct,
        intervals=len(happened.intervals),
        missing_intervals=sum(1 for interval in happened.intervals if interval.delivered_kw is None),
        baseline_kw=_mean(interval.adjusted_kw for interval in happened.intervals),
        metered_kw=_mean(interval.metered_kw for interval in happened.intervals),
        data_hash=happened.data_hash,
    )
    return replace(row, measurement=measurement)


def _not_measurable(happened: Dispatch.NotMeasurable, row: DispatchRow) -> DispatchRow:
    return replace(row, not_measurable_reason=happened.reason)


def _mean(values_kw: Iterable[float | None]) -> float | None:
    known = [value for value in values_kw if value is not None]
    return math.fsum(known) / len(known) if known else None


_PHASES: tuple[Phase, ...] = get_args(Phase)
_NOTES: dict[type[DomainEvent], Callable[[Any, DispatchRow], DispatchRow]] = {
    Dispatch.Blocked: _blocked,
    Dispatch.ForecastOverridden: _overridden,
    Dispatch.BmsCommandRequested: _requested,
    Dispatch.BmsCommandReissued: _requested,
    Dispatch.Prepared: _prepared,
    Dispatch.Committed: _committed,
    Dispatch.VerifiedByBms: _verified_by_bms,
    Dispatch.DriftFound: _drift_found,
    Dispatch.VerifiedByMeter: _verified_by_meter,
    Dispatch.Restored: _restored,
    Dispatch.Compensated: _restored,
    Dispatch.RestoreFailed: _restore_failed,
    Dispatch.Failed: _failed,
    Dispatch.Aborted: _aborted,
    Dispatch.Measured: _measured,
    Dispatch.NotMeasurable: _not_measurable,
}
