"""Preemption: which reservations yield to a DR event, and how its facilities change hands."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from application.command_bus.decision_context import DecisionContext
from domain.dispatch.restore import earliest_free
from domain.dr_event import RUNNING, DREvent, Notice
from domain.dr_event.feasibility import FacilityFacts, HeldWindow
from domain.dr_event.priority import Claim, outranks
from domain.facility import Facility
from domain.program import Terms


class Yielding(NamedTuple):
    """The reservations that yield to a DR event."""

    facts: Mapping[str, FacilityFacts]
    """Those of each facility, with every overlapping reservation marked that yields."""
    losing: dict[UUID, tuple[str, ...]]
    """Weaker DR event -> the facilities that it loses if this one is accepted."""


def yielding_to(
    dr_event: DREvent,
    notice: Notice,
    terms: Terms,
    facts: Mapping[str, FacilityFacts],
    context: DecisionContext,
) -> Yielding:
    """A curtailed building that cannot be released before this one's start, by its minimum off times, does not
    yield.
    """
    claim = Claim(dr_event.state.utility_id, notice.priority, terms.rank)
    free_at: dict[tuple[UUID, str], datetime] = {}
    for other_id, facility_ids in _in_the_way(facts).items():
        other = _weaker(other_id, claim, context)
        if other is not None:
            free_at.update(_free_at(other, facility_ids, context))
    if not free_at:
        return Yielding(facts, {})
    begins_at = max(notice.starts_at, context.now)
    losing: dict[UUID, tuple[str, ...]] = {}
    for (other_id, facility_id), free in free_at.items():
        if free <= begins_at:
            losing[other_id] = (*losing.get(other_id, ()), facility_id)
    marked = {
        facility_id: replace(
            known,
            reservations=tuple(
                _marked(held, free_at.get((held.dr_event_id, facility_id)), begins_at)
                for held in known.reservations
            ),
        )
        for facility_id, known in facts.items()
    }
    return Yielding(marked, losing)


def _in_the_way(facts: Mapping[str, FacilityFacts]) -> dict[UUID, list[str]]:
    """Other DR event -> its facilities that are in the way."""
    in_the_way: dict[UUID, list[str]] = {}
    for facility_id, known in facts.items():
        for held in known.reservations:
            in_the_way.setdefault(held.dr_event_id, []).append(facility_id)
    return in_the_way


def _marked(held: HeldWindow, free_at: datetime | None, begins_at: datetime) -> HeldWindow:
    if free_at is None:
        return held
    if free_at > begins_at:
        return replace(held, curtailed_until=free_at)
    return replace(held, yields=True)


def _free_at(
    other: DREvent, facility_ids: list[str], context: DecisionContext
) -> Iterator[tuple[tuple[UUID, str], datetime]]:
    """When each building could be free of the weaker DR event. Before its window none is curtailed."""
    active = other.state.status == "active"
    dispatched = [i for i in facility_ids if active and i in other.state.dispatched]
    dispatches = context.dispatches(other.id, dispatched)
    for facility_id in facility_ids:
        dispatch = dispatches.get(facility_id)
        free_at = context.now if dispatch is None else earliest_free(dispatch.state, now=context.now)
        yield (other.id, facility_id), free_at


def preempted(
    dr_event_id: UUID,
    losing: tuple[str, ...],
    facilities: Mapping[str, Facility],
    winner: DREvent,
    context: DecisionContext,
) -> DREvent:
    """The weaker DR event, to be saved before the winner: the facilities that it is `losing` are released."""
    loser = context.dr_event(dr_event_id)
    loser.preempt(context.provenance, facility_ids=losing, by_dr_event_id=winner.id)
    curtailing = _curtailing(loser, losing, context)
    for facility_id in losing:
        served = facility_id in curtailing
        facilities[facility_id].release(context.provenance, dr_event_id=dr_event_id, served=served)
    return loser


def _curtailing(loser: DREvent, facility_ids: tuple[str, ...], context: DecisionContext) -> set[str]:
    """The facilities whose buildings were curtailed, or may be: a commit may be in flight to a prepared one."""
    if loser.state.status != "active":
        return set()
    dispatched = [i for i in facility_ids if i in loser.state.dispatched]
    return {
        i
        for i, dispatch in context.dispatches(loser.id, dispatched).items()
        if dispatch.state.may_have_curtailed or dispatch.state.status == "prepared"
    }


def _weaker(dr_event_id: UUID, claim: Claim, context: DecisionContext) -> DREvent | None:
    """The DR event, if it yields. One whose window is over keeps its buildings until they are restored."""
    other = context.find_dr_event(dr_event_id)
    if other is None or other.state.status not in RUNNING:
        return None
    notice = other.state.judged_notice
    program = context.program(notice.program_id)
    terms = None if program is None else program.state.versions.get(other.state.program_version)
    if terms is None:
        return None
    other_claim = Claim(other.state.utility_id, notice.priority, terms.rank)
    return other if outranks(claim, other_claim) else None
