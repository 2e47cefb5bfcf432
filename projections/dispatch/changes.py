"""What each domain event of a dispatch changes in its row."""

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
"""Fields of the row, and what they are then: one row is made of each domain event, not several."""


def row_after(happened: Dispatch.Event, row: DispatchRow) -> DispatchRow:
    """The row after a domain event that is not the first of its dispatch."""
    changed = _drawn_from_state(row, happened.evolve(row.state), happened.recorded_at)
    noted = _NOTES.get(type(happened))
    if noted is not None:
        noted(happened, changed)
    return replace(row, **changed)


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


def _drawn_from_state(row: DispatchRow, state: DispatchState, changed_at: datetime) -> Changed:
    commands = state.commands
    outstanding, given_up = row.commands_outstanding, row.commands_given_up
    if commands is not row.state.commands:
        standing = [record.state for record in commands.values()]
        outstanding, given_up = standing.count("requested"), standing.count("gave_up")
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
    """Only what changed is drawn again: a large building has many zones, and a domain event speaks of one."""
    before = row.state
    if state.zones is not before.zones:
        drifted = frozenset(zone_id for zone_id, zone in row.zones.items() if zone.drifted)
        return _zones(state, drifted=drifted)
    changed: set[str] = set()
    if state.commands is not before.commands:
        known = before.commands
        changed.update(
            record.command.zone_id for key, record in state.commands.items() if known.get(key) is not record
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
    for zone_id in changed & zones.keys():  # one that left the plan may still hear of an older command
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
            known = newest.get(command.phase)
            if known is None or command.round > known.command.round:
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


def _blocked(happened: Dispatch.Blocked, changed: Changed) -> None:
    changed["blocked_reason"] = happened.reason


def _overridden(happened: Dispatch.ForecastOverridden, changed: Changed) -> None:
    changed["override_reason"] = happened.reason


def _requested(
    happened: Dispatch.BmsCommandRequested | Dispatch.BmsCommandReissued, changed: Changed
) -> None:
    changed["restore_retry_at"] = None


def _amended(happened: Dispatch.Amended, changed: Changed) -> None:
    changed["forecast_id"] = happened.forecast_id
    changed["data_quality"] = happened.data_quality
    if happened.rejoined:
        changed["concluded_at"] = None


def _recommitted(happened: Dispatch.Recommitted, changed: Changed) -> None:
    changed["zones"] = _calm(changed["zones"])


def _prepared(happened: Dispatch.Prepared, changed: Changed) -> None:
    changed["prepared_at"] = happened.recorded_at


def _committed(happened: Dispatch.Committed, changed: Changed) -> None:
    changed["committed_at"] = happened.recorded_at


def _verified_by_bms(happened: Dispatch.VerifiedByBms, changed: Changed) -> None:
    changed["verified_by_bms_at"] = happened.recorded_at
    changed["zones"] = _calm(changed["zones"])


def _calm(zones: dict[str, ZoneRow]) -> dict[str, ZoneRow]:
    return {zone_id: replace(zone, drifted=False) for zone_id, zone in zones.items()}


def _drift_found(happened: Dispatch.DriftFound, changed: Changed) -> None:
    zones = changed["zones"]
    changed["zones"] = {**zones, happened.zone_id: replace(zones[happened.zone_id], drifted=True)}


def _verified_by_meter(happened: Dispatch.VerifiedByMeter, changed: Changed) -> None:
    changed["verified_by_meter_at"] = happened.recorded_at
    changed["delivered_kw_so_far"] = happened.delivered_kw


def _restored(happened: Dispatch.Restored | Dispatch.Compensated, changed: Changed) -> None:
    changed["restored_at"] = changed["concluded_at"] = happened.recorded_at
    changed["restore_failure"] = changed["restore_retry_at"] = None


def _restored_by_hand(happened: Dispatch.RestoredByHand, changed: Changed) -> None:
    changed["restored_at"] = changed["concluded_at"] = happened.recorded_at
    changed["restored_by_hand"] = happened.reason
    changed["restore_failure"] = changed["restore_retry_at"] = None


def _restore_failed(happened: Dispatch.RestoreFailed, changed: Changed) -> None:
    changed["restore_failure"], changed["restore_retry_at"] = happened.reason, happened.retry_at


def _failed(happened: Dispatch.Failed, changed: Changed) -> None:
    changed["failed_phase"], changed["failed_at"] = happened.phase, happened.recorded_at
    changed["concluded_at"] = None if changed["state"].to_undo() else happened.recorded_at


def _aborted(happened: Dispatch.Aborted, changed: Changed) -> None:
    changed["concluded_at"] = happened.recorded_at


def _measured(happened: Dispatch.Measured | Dispatch.Remeasured, changed: Changed) -> None:
    changed["not_measurable_reason"] = None
    changed["measurement"] = MeasurementRow(
        revision=changed["state"].measurements,
        previous_kw=happened.previous_kw if isinstance(happened, Dispatch.Remeasured) else None,
        corrected_at=happened.corrected_at if isinstance(happened, Dispatch.Remeasured) else None,
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


def _not_measurable(happened: Dispatch.NotMeasurable, changed: Changed) -> None:
    changed["not_measurable_reason"] = happened.reason


def _withdrawn(happened: Dispatch.MeasurementWithdrawn, changed: Changed) -> None:
    changed["measurement"], changed["not_measurable_reason"] = None, happened.reason


def _mean(values_kw: Iterable[float | None]) -> float | None:
    known = [value for value in values_kw if value is not None]
    return math.fsum(known) / len(known) if known else None


_PHASES: tuple[Phase, ...] = get_args(Phase)
_NOTES: dict[type[DomainEvent], Callable[[Any, Changed], None]] = {
    Dispatch.Blocked: _blocked,
    Dispatch.ForecastOverridden: _overridden,
    Dispatch.BmsCommandRequested: _requested,
    Dispatch.BmsCommandReissued: _requested,
    Dispatch.Prepared: _prepared,
    Dispatch.Committed: _committed,
    Dispatch.Amended: _amended,
    Dispatch.Recommitted: _recommitted,
    Dispatch.VerifiedByBms: _verified_by_bms,
    Dispatch.DriftFound: _drift_found,
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
