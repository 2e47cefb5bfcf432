"""What each domain event of a dispatch changes in its row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, get_args

from msgspec.structs import replace

from domain.dispatch import CommandRecord, Dispatch, DispatchState, Phase
from domain.event_sourcing import DomainEvent
from projections.dispatch_row import CommandRow, DispatchRow, MeasurementRow, ZoneRow


def row_after(happened: Dispatch.Event, row: DispatchRow) -> DispatchRow:
    """The row after a domain event that is not the first of its dispatch."""
    evolved = _drawn_from_state(replace(row, state=happened.evolve(row.state)))
    noted = _NOTES.get(type(happened))
    changed = evolved if noted is None else noted(happened, evolved)
    return replace(changed, changed_at=happened.recorded_at)


def planned_row(happened: Dispatch.Planned) -> DispatchRow:
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
