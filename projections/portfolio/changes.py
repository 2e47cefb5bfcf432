"""Changes of the portfolio's sums by each domain event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility
from projections.engine.projection import Rows, existing
from projections.portfolio.row import DispatchShare, FacilityShare, PortfolioRow, PortfolioRows, sum_kw


def _registered(
    domain_event: Facility.Registered, row: PortfolioRow, rows: Rows[PortfolioRows]
) -> PortfolioRow:
    share = FacilityShare(stream_id=domain_event.originator_id, status="active")
    rows.put(share)
    return _with_share(replace(row, registered_facilities=row.registered_facilities + 1), share, sign=1)


def _facility_changed(
    domain_event: Facility.Event, row: PortfolioRow, rows: Rows[PortfolioRows]
) -> PortfolioRow:
    before = existing(rows, str(domain_event.originator_id), domain_event)
    if not isinstance(before, FacilityShare):
        return row
    after = _share_after(domain_event, before)
    rows.put(after)
    return _with_share(_with_share(row, before, sign=-1), after, sign=1)


def _share_after(domain_event: Facility.Event, share: FacilityShare) -> FacilityShare:
    match domain_event:
        case Facility.ZoneDefined():
            zones_kw = {**share.zones_kw, domain_event.zone.zone_id: domain_event.zone.curtailable_kw}
            return replace(share, zones_kw=zones_kw)
        case Facility.ZoneRetired():
            remaining = {key: kw for key, kw in share.zones_kw.items() if key != domain_event.zone_id}
            return replace(share, zones_kw=remaining)
        case Facility.MaintenanceStarted():
            return replace(share, status="maintenance")
        case Facility.MaintenanceEnded() | Facility.Reactivated():
            return replace(share, status="active")
        case Facility.Deactivated():
            return replace(share, status="deactivated")
        case Facility.Reserved():
            others = _without(share.reservations, domain_event.dr_event_id)
            return replace(share, reservations=(*others, domain_event.dr_event_id))
        case Facility.Released():
            return replace(share, reservations=_without(share.reservations, domain_event.dr_event_id))
        case _:
            return _withheld_after(domain_event, share)


def _withheld_after(domain_event: Facility.Event, share: FacilityShare) -> FacilityShare:
    match domain_event:
        case Facility.OptedOut(dr_event_id=None):
            return replace(share, opted_out=True)
        case Facility.OptedIn(dr_event_id=None):
            return replace(share, opted_out=False)
        case Facility.RestoreAwaited():
            others = _without(share.not_restored_from, domain_event.dr_event_id)
            return replace(share, not_restored_from=(*others, domain_event.dr_event_id))
        case Facility.RestoreConfirmed():
            return replace(
                share, not_restored_from=_without(share.not_restored_from, domain_event.dr_event_id)
            )
        case _:
            return share


def _with_share(row: PortfolioRow, share: FacilityShare, *, sign: int) -> PortfolioRow:
    """Add (sign 1) or subtract (sign -1) a facility's share."""
    active, reserved = share.status == "active", bool(share.reservations)
    free = active and not reserved
    kw = sign * share.declared_kw
    return replace(
        row,
        active_facilities=row.active_facilities + sign * active,
        facilities_in_maintenance=row.facilities_in_maintenance + sign * (share.status == "maintenance"),
        deactivated_facilities=row.deactivated_facilities + sign * (share.status == "deactivated"),
        reserved_facilities=row.reserved_facilities + sign * (active and reserved),
        declared_kw=sum_kw(row.declared_kw, kw if share.status != "deactivated" else 0.0),
        available_kw=sum_kw(row.available_kw, kw if free and not share.withheld else 0.0),
        withheld_facilities=row.withheld_facilities + sign * (free and share.withheld),
        withheld_kw=sum_kw(row.withheld_kw, kw if free and share.withheld else 0.0),
        reserved_kw=sum_kw(row.reserved_kw, kw if active and reserved else 0.0),
    )


def _planned(
    domain_event: Dispatch.Planned | Dispatch.PreparationReleased,
    row: PortfolioRow,
    rows: Rows[PortfolioRows],
) -> PortfolioRow:
    """The dispatch has a share in the sums from now on, or again."""
    rows.put(DispatchShare(dispatch_id=domain_event.originator_id, target_kw=domain_event.target_kw))
    return row


def _committed(
    domain_event: Dispatch.Committed, row: PortfolioRow, rows: Rows[PortfolioRows]
) -> PortfolioRow:
    share = rows.get(str(domain_event.originator_id))
    if not isinstance(share, DispatchShare):
        return row
    rows.put(replace(share, committed=True))
    return replace(row, committed_kw=sum_kw(row.committed_kw, share.target_kw))


def _verified(
    domain_event: Dispatch.VerifiedByMeter, row: PortfolioRow, rows: Rows[PortfolioRows]
) -> PortfolioRow:
    share = rows.get(str(domain_event.originator_id))
    if not isinstance(share, DispatchShare):
        return row
    rows.put(replace(share, delivering_kw=domain_event.delivered_kw))
    without = sum_kw(row.delivering_kw, -share.delivering_kw)
    return replace(row, delivering_kw=sum_kw(without, domain_event.delivered_kw))


def _requested(
    domain_event: Dispatch.BmsCommandRequested, row: PortfolioRow, rows: Rows[PortfolioRows]
) -> PortfolioRow:
    """An abort does not end the share: a changed plan may drop one zone and keep the others prepared."""
    return _dispatch_over(domain_event, row, rows) if domain_event.command.phase == "restore" else row


def _amended(domain_event: Dispatch.Amended, row: PortfolioRow, rows: Rows[PortfolioRows]) -> PortfolioRow:
    """A dispatch that rejoins has lost its share of the sums, and gets a new one."""
    existing_row = rows.get(str(domain_event.originator_id))
    share = existing_row if isinstance(existing_row, DispatchShare) else None
    if share is None and not domain_event.rejoined:
        return row
    changed = share or DispatchShare(dispatch_id=domain_event.originator_id, target_kw=0.0)
    rows.put(replace(changed, target_kw=domain_event.target_kw))
    if not changed.committed:
        return row
    without = sum_kw(row.committed_kw, -changed.target_kw)
    return replace(row, committed_kw=sum_kw(without, domain_event.target_kw))


def _dispatch_over(
    domain_event: Dispatch.Event, row: PortfolioRow, rows: Rows[PortfolioRows]
) -> PortfolioRow:
    share = rows.get(str(domain_event.originator_id))
    if not isinstance(share, DispatchShare):
        return row
    rows.delete(str(domain_event.originator_id))
    return replace(
        row,
        committed_kw=sum_kw(row.committed_kw, -share.target_kw if share.committed else 0.0),
        delivering_kw=sum_kw(row.delivering_kw, -share.delivering_kw),
    )


def _accepted(domain_event: DREvent.Accepted, row: PortfolioRow, rows: Rows[PortfolioRows]) -> PortfolioRow:
    return replace(row, open_dr_events=row.open_dr_events + 1)


def _started(domain_event: DREvent.Started, row: PortfolioRow, rows: Rows[PortfolioRows]) -> PortfolioRow:
    return replace(row, active_dr_events=row.active_dr_events + 1)


def _ended(domain_event: DREvent.Ended, row: PortfolioRow, rows: Rows[PortfolioRows]) -> PortfolioRow:
    return replace(row, active_dr_events=row.active_dr_events - 1)


def _batch_aborted(
    domain_event: DREvent.BatchAborted, row: PortfolioRow, rows: Rows[PortfolioRows]
) -> PortfolioRow:
    return replace(row, active_dr_events=row.active_dr_events - domain_event.while_active)


def _cancelled_while_active(
    domain_event: DREvent.CancelledWhileActive, row: PortfolioRow, rows: Rows[PortfolioRows]
) -> PortfolioRow:
    return replace(row, open_dr_events=row.open_dr_events - 1, active_dr_events=row.active_dr_events - 1)


def _closed(
    domain_event: DREvent.Completed | DREvent.Cancelled, row: PortfolioRow, rows: Rows[PortfolioRows]
) -> PortfolioRow:
    return replace(row, open_dr_events=row.open_dr_events - 1)


def _measured(domain_event: DREvent.Measured, row: PortfolioRow, rows: Rows[PortfolioRows]) -> PortfolioRow:
    return replace(
        row, last_measured_dr_event=domain_event.originator_id, last_delivered_kw=domain_event.delivered_kw
    )


def _remeasured(
    domain_event: DREvent.Remeasured, row: PortfolioRow, rows: Rows[PortfolioRows]
) -> PortfolioRow:
    if row.last_measured_dr_event != domain_event.originator_id:
        return row
    return replace(row, last_delivered_kw=domain_event.delivered_kw)


def _without(dr_event_ids: tuple[UUID, ...], dr_event_id: UUID) -> tuple[UUID, ...]:
    return tuple(other for other in dr_event_ids if other != dr_event_id)


CHANGES: dict[type[DomainEvent], Callable[[Any, PortfolioRow, Rows[PortfolioRows]], PortfolioRow]] = {
    Facility.Registered: _registered,
    Facility.ZoneDefined: _facility_changed,
    Facility.ZoneRetired: _facility_changed,
    Facility.MaintenanceStarted: _facility_changed,
    Facility.MaintenanceEnded: _facility_changed,
    Facility.Deactivated: _facility_changed,
    Facility.Reactivated: _facility_changed,
    Facility.Reserved: _facility_changed,
    Facility.Released: _facility_changed,
    Facility.OptedOut: _facility_changed,
    Facility.OptedIn: _facility_changed,
    Facility.RestoreAwaited: _facility_changed,
    Facility.RestoreConfirmed: _facility_changed,
    Dispatch.Planned: _planned,
    Dispatch.Committed: _committed,
    Dispatch.VerifiedByMeter: _verified,
    Dispatch.BmsCommandRequested: _requested,
    Dispatch.Amended: _amended,
    Dispatch.PreparationReleased: _planned,
    Dispatch.RestorePlanned: _dispatch_over,
    Dispatch.Failed: _dispatch_over,
    Dispatch.Aborted: _dispatch_over,
    DREvent.Accepted: _accepted,
    DREvent.Started: _started,
    DREvent.Ended: _ended,
    DREvent.Completed: _closed,
    DREvent.Cancelled: _closed,
    DREvent.CancelledWhileActive: _cancelled_while_active,
    DREvent.BatchAborted: _batch_aborted,
    DREvent.Measured: _measured,
    DREvent.Remeasured: _remeasured,
}
