"""Changes of a DR event that is under way, as steps of a `PortfolioWalk`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from domain.dispatch import Dispatch, Setpoint
from domain.dispatch.amendment import is_curtailing
from domain.dr_event import ENDED, PLANNED, RUNNING, Batch, DREvent, EventPrice, Reason
from domain.event_sourcing.aggregate import Aggregate
from domain.facility import Facility

if TYPE_CHECKING:
    from tests.property.projections.projected_logs import PortfolioWalk

Action = Callable[[], None]
NOT_FEASIBLE = (Reason(code="too_long", detail="lasts too long"),)
CAPACITY: dict[str, Any] = {
    "capacity_kw": 90.0,
    "capacity_source": "forecast",
    "capacity_degraded_kw": 10.0,
    "shortfall_kw": 0.0,
    "start_offset_s": None,
}


def changes_of(walk: PortfolioWalk, dr_event: DREvent, number: int) -> Iterator[Action]:
    """Changes of a DR event as a whole."""
    state, do = dr_event.state, partial(_done, walk, dr_event)
    withdrawable = state.status in {"opened", "rejected"} or state.withdrawn_number is not None
    if withdrawable and number % 4 == 0:
        stated = None if number % 8 == 0 else number % 3
        yield partial(do, dr_event.withdraw, modification_number=stated, reason="not needed")
    if state.status in RUNNING and number % 5 == 0:
        later = timedelta(minutes=15 * (number % 3))
        changed = replace(
            state.judged_notice,
            modification_number=state.modification_number + 1,
            ends_at=state.judged_notice.ends_at + later,
            target_kw=20.0 + number % 5,
        )
        yield partial(do, dr_event.modify, notice=changed, **CAPACITY)
        yield partial(do, dr_event.refuse_modification, notice=changed, reasons=NOT_FEASIBLE)
        lost = state.judged_notice.facility_ids[:1]
        yield partial(do, dr_event.preempt, facility_ids=lost, by_dr_event_id=walk.dr_events[0].id)
    if state.status in RUNNING | ENDED and number % 7 == 3:
        changed = replace(state.judged_notice, modification_number=state.modification_number + 1)
        price = EventPrice(starts_at=changed.starts_at, per_kwh=f"0.{number}")
        kind = state.kind if state.status in ENDED else f"kind-{number % 2}"
        yield partial(do, dr_event.reprice, notice=changed, kind=kind, prices=(price,) * (number % 3))
    if state.status in PLANNED:
        if state.plan_outdated or number % 9 == 0:
            yield partial(_replanned, walk, dr_event, number)
        if number % 6 == 0:
            yield partial(do, dr_event.abort_batch, facility_ids=state.dispatched, reason="one fell out")
    if state.status == "active" and number % 3 == 0:
        yield partial(do, dr_event.cancel, reason="the heat wave is over")
    if state.status == "cancelled_while_active" and state.batch is None:
        yield partial(_wound_up, walk, dr_event)


def changes_for(walk: PortfolioWalk, dispatch: Dispatch, number: int) -> Iterator[Action]:
    """Changes of one dispatch."""
    state, do = dispatch.state, partial(_done, walk, dispatch)
    if state.restore_steps:
        yield partial(_later_restored, walk, dispatch)
    if number % 9 == 1:
        yield partial(do, dispatch.leave, cause="opted_out", reason="guests are in the house")
        yield partial(_amended, walk, dispatch, number)
    if number % 6 == 2 or (is_curtailing(state) and number % 3 == 2):
        yield partial(do, dispatch.align, not_after=state.ends_at)
        found = Setpoint(value=22.5 + number // 6 % 2, unit="celsius")
        seen = dict.fromkeys(state.zones, (found, number % 4 == 0))
        yield partial(do, dispatch.reconcile, states=seen, not_after=state.ends_at)


def opting(walk: PortfolioWalk, facility: Facility, number: int) -> Iterator[Action]:
    do = partial(_done, walk, facility)
    held = [reservation.dr_event_id for reservation in facility.state.reservations.values()]
    of = held[0] if held and number % 2 else None
    yield partial(do, facility.opt_out, dr_event_id=of, reason="guests are in the house")
    yield partial(do, facility.opt_in, dr_event_id=of, reason="they are gone")
    facility_id = facility.state.facility_id
    dispatched = [d for each in walk.dr_events for d in walk.dispatches_of(each)]
    served = [d.state.dr_event_id for d in dispatched if d.state.facility_id == facility_id]
    if served:
        from_which = served[number % len(served)]
        yield partial(do, facility.await_restore, dr_event_id=from_which)
        yield partial(do, facility.confirm_restore, dr_event_id=from_which)


def _done(walk: PortfolioWalk, aggregate: Aggregate[Any], command: Callable[..., Any], **facts: Any) -> None:
    command(walk.provenance(actor="saga:dispatch", cause=True), **facts)
    walk.save(aggregate)


def _replanned(walk: PortfolioWalk, dr_event: DREvent, number: int) -> None:
    provenance = walk.provenance(actor="saga:dispatch", cause=True)
    starts_at = dr_event.state.judged_notice.starts_at
    far = timedelta(minutes=10) if number % 2 else -timedelta(days=1)
    dr_event.replan(
        provenance,
        prepare_at=starts_at - far,
        targets=dr_event.state.targets[: 1 + number % 3],
        missing_kw=1.5,
        cause="modified",
    )
    walk.save(dr_event)


def _amended(walk: PortfolioWalk, dispatch: Dispatch, number: int) -> None:
    state = dispatch.state
    zones = tuple(replace(zone, magnitude=1.0 + number % 3 / 2) for zone in state.zones.values())
    if not is_curtailing(state) and number % 2:
        zones = zones[:1]
    dispatch.amend(
        walk.provenance(actor="saga:dispatch", cause=True),
        plan_revision=state.plan_revision + 1,
        starts_at=state.starts_at,
        ends_at=state.ends_at + timedelta(minutes=5),
        expires_at=state.expires_at + timedelta(minutes=number % 2),
        target_kw=8.0 + number % 3,
        zones=zones,
        forecast_id=None,
        data_quality="full",
        hold=number % 5 > 0,
    )
    walk.save(dispatch)


def _later_restored(walk: PortfolioWalk, dispatch: Dispatch) -> None:
    walk.now = max(walk.now, min(step.not_before for step in dispatch.state.restore_steps))
    dispatch.restore_due(walk.provenance(actor="saga:dispatch", cause=True))
    walk.save(dispatch)


def _wound_up(walk: PortfolioWalk, dr_event: DREvent) -> None:
    batch = Batch(asked=2, prepared=2, committed=2, failed=0, restored=1, opted_out=1)
    out = dr_event.state.dispatched[:1]
    dr_event.wind_up(
        walk.provenance(actor="saga:dispatch", cause=True),
        batch=batch,
        failed_facilities=(),
        opted_out_facilities=out,
    )
    walk.save(dr_event)
