"""Changes of a dispatch's row by each domain event."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, get_args

from msgspec.structs import replace

from domain.dispatch import CommandRecord, Dispatch, DispatchState, Phase
from domain.event_sourcing.aggregate import DomainEvent
from projections.dispatch.row import CommandRow, DispatchRow, MeasurementRow, ZoneRow

Changed = dict[str, Any]
"""Changed fields of the row and their new values; each domain event creates one new row."""


def row_after(domain_event: Dispatch.Event, row: DispatchRow) -> DispatchRow:
    """The row after a domain event that is not the first of its dispatch."""
    changed = _fields_of_state(row, domain_event.evolve(row.state), domain_event.recorded_at)
    change = _CHANGES.get(type(domain_event))
    if change is not None:
        change(domain_event, changed)
    return replace(row, **changed)


def planned_row(domain_event: Dispatch.Planned) -> DispatchRow:
    """The first row of a dispatch."""
    state = domain_event.initial_state()
    return DispatchRow(
        dispatch_id=domain_event.originator_id,
        dr_event_id=domain_event.dr_event_id,
        facility_id=domain_event.facility_id,
        status=state.status,
        tenant=domain_event.tenant,
        plan_revision=domain_event.plan_revision,
        starts_at=domain_event.starts_at,
        ends_at=domain_event.ends_at,
        expires_at=domain_event.expires_at,
        target_kw=domain_event.target_kw,
        forecast_id=domain_event.forecast_id,
        data_quality=domain_event.data_quality,
        zones=_zones(state, drifted=frozenset()),
        state=state,
        planned_at=domain_event.recorded_at,
        changed_at=domain_event.recorded_at,
        correlation_id=domain_event.correlation_id,
        trace_id=domain_event.trace_id,
    )


def _fields_of_state(row: DispatchRow, state: DispatchState, changed_at: datetime) -> Changed:
    commands = state.commands
    outstanding, given_up = row.commands_outstanding, row.commands_given_up
    if commands is not row.state.commands:
        states = [record.state for record in commands.values()]
        outstanding, given_up = states.count("requested"), states.count("gave_up")
    return {
        "state": state,
        "status": state.status,
        "was_prepared": state.was_prepared,
        "was_committed": state.was_committed,
        "failure": state.failure,
        "plan_revision": state.plan_revision,
        "starts_at": state.starts_at,
        "ends_at": state.ends_at,
        "expires_at": state.expires_at,
        "target_kw": state.target_kw,
        "data_quality": state.data_quality,
        "left": state.left,
        "left_reason": state.left_reason,
        "restore_steps": state.restore_steps,
        "delivered_kw": state.delivered_kw,
        "commands_outstanding": outstanding,
        "commands_given_up": given_up,
        "zones": _zones_after(row, state),
        "changed_at": changed_at,
    }


def _zones_after(row: DispatchRow, state: DispatchState) -> dict[str, ZoneRow]:
    """Rebuild only the zones that changed: a large building has many, and a domain event concerns one."""
    before = row.state
    if state.zones is not before.zones:
        drifted = frozenset(zone_id for zone_id, zone in row.zones.items() if zone.drifted)
        return _zones(state, drifted=drifted)
    changed: set[str] = set()
    if state.commands is not before.commands:
        previous = before.commands
        changed.update(
            record.command.zone_id
            for key, record in state.commands.items()
            if previous.get(key) is not record
        )
    if state.previous is not before.previous:
        changed.update(
            zone_id
            for zone_id, setpoint in state.previous.items()
            if before.previous.get(zone_id) is not setpoint
        )
    if state.curtailed_at is not before.curtailed_at:
        changed.update(state.curtailed_at.keys() ^ before.curtailed_at.keys())
    if not changed:
        return row.zones
    zones = row.zones.copy()
    for zone_id in (
        changed & zones.keys()
    ):  # A zone outside the plan may still get the outcome of an older command.
        zones[zone_id] = _zone(state, zone_id, drifted=zones[zone_id].drifted)
    return zones


def _zones(state: DispatchState, *, drifted: frozenset[str]) -> dict[str, ZoneRow]:
    return {zone_id: _zone(state, zone_id, drifted=zone_id in drifted) for zone_id in sorted(state.zones)}


def _zone(state: DispatchState, zone_id: str, *, drifted: bool) -> ZoneRow:
    plan = state.zones[zone_id]
    newest: dict[Phase, CommandRecord] = {}
    for record in state.commands.values():
        command = record.command
        if command.zone_id == zone_id:
            previous = newest.get(command.phase)
            if previous is None or command.round > previous.command.round:
                newest[command.phase] = record
    commit, restore = newest.get("commit"), newest.get("restore")
    return ZoneRow(
        zone_id=zone_id,
        target_kw=plan.target_kw,
        strategy=plan.strategy,
        magnitude=plan.magnitude,
        previous=state.previous.get(zone_id),
        commands={phase: _command(newest[phase]) for phase in _PHASES if phase in newest},
        curtailed=zone_id in state.curtailed_at
        or (
            commit is not None
            and commit.state == "gave_up"
            and (restore is None or restore.state not in {"succeeded", "by_hand"})
        ),
        drifted=drifted,
    )


def _command(record: CommandRecord) -> CommandRow:
    return CommandRow(
        command_id=record.command.command_id,
        round=record.command.round,
        state=record.state,
        attempts=record.attempts,
    )


def _blocked(domain_event: Dispatch.Blocked, changed: Changed) -> None:
    changed["blocked_reason"] = domain_event.reason


def _unblocked(domain_event: Dispatch.Unblocked, changed: Changed) -> None:
    changed["blocked_reason"], changed["forecast_id"] = None, domain_event.forecast_id


def _overridden(domain_event: Dispatch.ForecastOverridden, changed: Changed) -> None:
    changed["override_reason"] = domain_event.reason


def _requested(
    domain_event: Dispatch.BmsCommandRequested | Dispatch.BmsCommandReissued, changed: Changed
) -> None:
    changed["restore_retry_at"] = None


def _amended(domain_event: Dispatch.Amended, changed: Changed) -> None:
    changed["forecast_id"] = domain_event.forecast_id
    if domain_event.rejoined:
        changed["concluded_at"] = changed["blocked_reason"] = None


def _recommitted(domain_event: Dispatch.Recommitted, changed: Changed) -> None:
    changed["zones"] = _without_drift(changed["zones"])


def _prepared(domain_event: Dispatch.Prepared, changed: Changed) -> None:
    changed["prepared_at"] = domain_event.recorded_at


def _committed(domain_event: Dispatch.Committed, changed: Changed) -> None:
    changed["committed_at"] = domain_event.recorded_at


def _verified_by_bms(domain_event: Dispatch.VerifiedByBms, changed: Changed) -> None:
    changed["verified_by_bms_at"] = domain_event.recorded_at
    changed["zones"] = _without_drift(changed["zones"])


def _without_drift(zones: dict[str, ZoneRow]) -> dict[str, ZoneRow]:
    return {zone_id: replace(zone, drifted=False) for zone_id, zone in zones.items()}


def _drift_detected(domain_event: Dispatch.DriftDetected, changed: Changed) -> None:
    zones = changed["zones"]
    changed["zones"] = {**zones, domain_event.zone_id: replace(zones[domain_event.zone_id], drifted=True)}


def _verified_by_meter(domain_event: Dispatch.VerifiedByMeter, changed: Changed) -> None:
    changed["verified_by_meter_at"] = domain_event.recorded_at
    changed["delivered_kw_so_far"] = domain_event.delivered_kw


def _restored(domain_event: Dispatch.Restored | Dispatch.Compensated, changed: Changed) -> None:
    changed["restored_at"] = changed["concluded_at"] = domain_event.recorded_at
    changed["restore_failure"] = changed["restore_retry_at"] = None


def _restored_by_hand(domain_event: Dispatch.RestoredByHand, changed: Changed) -> None:
    changed["restored_at"] = changed["concluded_at"] = domain_event.recorded_at
    changed["restored_by_hand"] = domain_event.reason
    changed["zones"] = {
        zone_id: replace(zone, curtailed=False) if zone.curtailed else zone
        for zone_id, zone in changed["zones"].items()
    }
    changed["restore_failure"] = changed["restore_retry_at"] = None


def _restore_failed(domain_event: Dispatch.RestoreFailed, changed: Changed) -> None:
    changed["restore_failure"], changed["restore_retry_at"] = domain_event.reason, domain_event.retry_at


def _failed(domain_event: Dispatch.Failed, changed: Changed) -> None:
    changed["failed_phase"], changed["failed_at"] = domain_event.phase, domain_event.recorded_at
    changed["concluded_at"] = None if changed["state"].to_undo() else domain_event.recorded_at


def _aborted(domain_event: Dispatch.Aborted, changed: Changed) -> None:
    changed["concluded_at"] = domain_event.recorded_at


def _measured(domain_event: Dispatch.Measured | Dispatch.Remeasured, changed: Changed) -> None:
    figures = domain_event.figures
    changed["not_measurable_reason"] = None
    changed["measurement"] = MeasurementRow(
        revision=changed["state"].measurements,
        previous_kw=domain_event.previous_kw if isinstance(domain_event, Dispatch.Remeasured) else None,
        corrected_at=domain_event.corrected_at if isinstance(domain_event, Dispatch.Remeasured) else None,
        reason=domain_event.reason if isinstance(domain_event, Dispatch.Remeasured) else "",
        baseline_method=figures.baseline_method,
        days=figures.days_used,
        # A utility sees the row: on such a day the facility may have served another one.
        skipped_days=sum(day.why != "dr_event_day" for day in figures.skipped),
        adjustment_kind=figures.adjustment.kind,
        adjustment_value=figures.adjustment.value,
        adjustment_raw=figures.adjustment.raw,
        adjustment_clipped=figures.adjustment.clipped,
        holidays=figures.holidays,
        holidays_of=figures.holidays_of,
        coverage_pct=figures.coverage_pct,
        intervals=len(figures.intervals),
        missing_intervals=sum(1 for interval in figures.intervals if interval.delivered_kw is None),
        baseline_kw=_mean(interval.adjusted_kw for interval in figures.intervals),
        metered_kw=_mean(interval.metered_kw for interval in figures.intervals),
        data_hash=figures.data_hash,
        uncertainty=figures.uncertainty,
        expected_error=figures.expected_error,
    )


def _not_measurable(domain_event: Dispatch.NotMeasurable, changed: Changed) -> None:
    changed["not_measurable_reason"] = domain_event.reason


def _withdrawn(domain_event: Dispatch.MeasurementWithdrawn, changed: Changed) -> None:
    changed["measurement"], changed["not_measurable_reason"] = None, domain_event.reason


def _mean(values_kw: Iterable[float | None]) -> float | None:
    present = [value for value in values_kw if value is not None]
    return math.fsum(present) / len(present) if present else None


_PHASES: tuple[Phase, ...] = get_args(Phase)
_CHANGES: dict[type[DomainEvent], Callable[[Any, Changed], None]] = {
    Dispatch.Blocked: _blocked,
    Dispatch.Unblocked: _unblocked,
    Dispatch.ForecastOverridden: _overridden,
    Dispatch.BmsCommandRequested: _requested,
    Dispatch.BmsCommandReissued: _requested,
    Dispatch.Prepared: _prepared,
    Dispatch.Committed: _committed,
    Dispatch.Amended: _amended,
    Dispatch.Recommitted: _recommitted,
    Dispatch.VerifiedByBms: _verified_by_bms,
    Dispatch.DriftDetected: _drift_detected,
    Dispatch.VerifiedByMeter: _verified_by_meter,
    Dispatch.Restored: _restored,
    Dispatch.Compensated: _restored,
    Dispatch.RestoreFailed: _restore_failed,
    Dispatch.RestoredByHand: _restored_by_hand,
    Dispatch.Failed: _failed,
    Dispatch.Aborted: _aborted,
    Dispatch.Measured: _measured,
    Dispatch.NotMeasurable: _not_measurable,
    Dispatch.Remeasured: _measured,
    Dispatch.MeasurementWithdrawn: _withdrawn,
}
