"""The facilities of an open DR event that are blocked, at risk, or have dropped out, by its dispatches' domain
events."""

from __future__ import annotations

from uuid import UUID

from msgspec.structs import replace

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from projections.engine.projection import Rows
from projections.portfolio.row import DREventStandings, PortfolioRow, PortfolioRows, Readiness, Standing

MOST_LISTED = 200
"""So many DR events are listed in the portfolio, the first ones; all of them count in its sums."""
_OPENS = DREvent.Scheduled
_CLOSES = (
    DREvent.Ended,
    DREvent.Completed,
    DREvent.WoundUp,
    DREvent.Cancelled,
    DREvent.CancelledWhileActive,
    DREvent.BatchAborted,
)
_MOVES = (
    Dispatch.Planned,
    Dispatch.Blocked,
    Dispatch.Unblocked,
    Dispatch.ForecastOverridden,
    Dispatch.Amended,
    Dispatch.Committed,
    Dispatch.LeftEarly,
    Dispatch.Failed,
)
READINESS_EVENTS: tuple[type[DomainEvent], ...] = (_OPENS, *_CLOSES, *_MOVES)


def standings_key(dr_event_id: UUID) -> str:
    return f"standings:{dr_event_id}"


def key_read_by(domain_event: DomainEvent) -> str | None:
    """The row that `with_readiness` reads for it."""
    if isinstance(domain_event, Dispatch.Event):
        return standings_key(domain_event.dr_event_id)
    return standings_key(domain_event.originator_id) if isinstance(domain_event, DREvent.Event) else None


def with_readiness(domain_event: DomainEvent, row: PortfolioRow, rows: Rows[PortfolioRows]) -> PortfolioRow:
    """The portfolio's row after a domain event of READINESS_EVENTS; the row of its DR event changes too."""
    if isinstance(domain_event, _OPENS):
        if rows.get(standings_key(domain_event.originator_id)) is None:
            rows.put(DREventStandings(dr_event_id=domain_event.originator_id))
        return row
    key = key_read_by(domain_event)
    before = None if key is None else rows.get(key)
    if key is None or not isinstance(before, DREventStandings):
        return row  # it has no plan, or is over
    if isinstance(domain_event, _CLOSES):
        rows.delete(key)
        return _with_counts(row, before.dr_event_id, before.counts, Readiness())
    if not isinstance(domain_event, Dispatch.Event):
        return row
    facility_id = domain_event.facility_id
    known = before.facilities.get(facility_id)
    standing = _standing_after(domain_event, known)
    if standing == known:
        return row
    others = {i: one for i, one in before.facilities.items() if i != facility_id}
    after = replace(before, facilities=others if standing is None else {**others, facility_id: standing})
    rows.put(after)
    return _with_counts(row, before.dr_event_id, before.counts, after.counts)


def _standing_after(domain_event: Dispatch.Event, known: Standing | None) -> Standing | None:
    match domain_event:
        case Dispatch.Planned(data_quality=quality) | Dispatch.Unblocked(data_quality=quality):
            return _by_quality(quality)
        case Dispatch.Amended(data_quality=quality, rejoined=rejoined):
            return known if known in {"blocked", "dropped_out"} and not rejoined else _by_quality(quality)
        case Dispatch.Blocked():
            return "blocked"
        case Dispatch.ForecastOverridden():
            return "at_risk"
        case Dispatch.Failed():
            return "dropped_out"
        case Dispatch.LeftEarly(cause=cause):
            return None if cause in {"left_out", "cancelled"} else "dropped_out"
        case _:  # committed: what it delivers is measured from now on
            return None


def _by_quality(quality: str) -> Standing | None:
    return None if quality == "full" else "at_risk"


def _with_counts(row: PortfolioRow, dr_event_id: UUID, before: Readiness, after: Readiness) -> PortfolioRow:
    listed = {key: one for key, one in row.readiness.items() if key != str(dr_event_id)}
    if after != Readiness() and len(listed) < MOST_LISTED:
        listed[str(dr_event_id)] = after
    return replace(
        row,
        blocked_facilities=row.blocked_facilities + after.blocked - before.blocked,
        at_risk_facilities=row.at_risk_facilities + after.at_risk - before.at_risk,
        dropped_out_facilities=row.dropped_out_facilities + after.dropped_out - before.dropped_out,
        readiness=listed,
    )
