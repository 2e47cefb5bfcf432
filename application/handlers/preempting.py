"""Pre-emption: which reservations yield to a DR event, and how its facilities change hands."""

from collections.abc import Mapping
from uuid import UUID

from msgspec.structs import replace

from application.deciding import Deciding
from domain.dr_event import RUNNING, DREvent, Notice
from domain.facility import Facility
from domain.feasibility import FacilityFacts, HeldWindow
from domain.precedence import Standing, takes_from
from domain.program import Terms
from domain.time_windows import TimeWindow


def with_yielding(
    facts: Mapping[str, FacilityFacts], dr_event: DREvent, notice: Notice, terms: Terms, deciding: Deciding
) -> dict[str, FacilityFacts]:
    """The facts with every overlapping reservation marked that yields to this DR event."""
    claim = Standing(dr_event.state.utility_id, notice.priority, terms.rank)
    in_the_way = {
        held.dr_event_id for known in facts.values() for held in _overlapping(known, dr_event, notice)
    }
    weaker = {other for other in in_the_way if _yields(other, claim, deciding)}
    return {
        facility_id: replace(
            known,
            reservations=tuple(replace(h, yields=h.dr_event_id in weaker) for h in known.reservations),
        )
        for facility_id, known in facts.items()
    }


def losses(
    facts: Mapping[str, FacilityFacts], dr_event: DREvent, notice: Notice
) -> dict[UUID, tuple[str, ...]]:
    """Weaker DR event -> the facilities that it loses if this one is accepted."""
    losing: dict[UUID, tuple[str, ...]] = {}
    for facility_id, known in facts.items():
        for held in _overlapping(known, dr_event, notice):
            if held.yields:
                losing[held.dr_event_id] = (*losing.get(held.dr_event_id, ()), facility_id)
    return losing


def handed_over(
    losing: Mapping[UUID, tuple[str, ...]],
    facilities: Mapping[str, Facility],
    winner: DREvent,
    deciding: Deciding,
) -> list[DREvent]:
    """Release the facilities that the weaker DR events lose; gives those, to be saved before the winner."""
    losers = []
    for dr_event_id, facility_ids in losing.items():
        loser = deciding.dr_event(dr_event_id)
        loser.preempt(deciding.provenance, facility_ids=facility_ids, by_dr_event_id=winner.id)
        for facility_id in facility_ids:
            served = loser.state.status == "active"
            facilities[facility_id].release(deciding.provenance, dr_event_id=dr_event_id, served=served)
        losers.append(loser)
    return losers


def _overlapping(known: FacilityFacts, dr_event: DREvent, notice: Notice) -> list[HeldWindow]:
    if notice.ends_at <= notice.starts_at:
        return []
    window = TimeWindow(notice.starts_at, notice.ends_at)
    return [h for h in known.reservations if h.dr_event_id != dr_event.id and h.window.overlaps(window)]


def _yields(dr_event_id: UUID, claim: Standing, deciding: Deciding) -> bool:
    """One that is over but for its restores keeps its buildings until they are let go."""
    other = deciding.find_dr_event(dr_event_id)
    if other is None or other.state.status not in RUNNING:
        return False
    notice = other.state.judged_notice
    program = deciding.program(notice.program_id)
    terms = None if program is None else program.state.versions.get(other.state.program_version)
    if terms is None:
        return False
    return takes_from(claim, Standing(other.state.utility_id, notice.priority, terms.rank))
