"""Domain events of a facility's part in DR events: reservations, restores that are awaited, opt-outs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, TypeVar
from uuid import UUID

from msgspec.structs import replace

from domain.facility.events import Event
from domain.facility.state import FacilityState, Reservation

TValue = TypeVar("TValue")

REMEMBERED = timedelta(days=800)
"""How long a facility's state names a DR event that is over: longer than any season of limits and any days of a
baseline."""


def _without(values: dict[str, TValue], *keys: str) -> dict[str, TValue]:
    return {known: value for known, value in values.items() if known not in keys}


class Reserved(Event, frozen=True, kw_only=True):
    """The facility is reserved for a DR event."""

    TOPIC: ClassVar[str] = "facility.reserved.v1"
    dr_event_id: UUID
    prepared_from: datetime
    starts_at: datetime
    ends_at: datetime

    def evolve(self, state: FacilityState) -> FacilityState:
        reservation = Reservation(
            dr_event_id=self.dr_event_id,
            prepared_from=self.prepared_from,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
        )
        key = str(self.dr_event_id)
        over = {old for old, end in state.served_until.items() if end < self.recorded_at - REMEMBERED}
        over -= state.reservations.keys() | state.not_restored_from
        utilities = state.utilities if self.tenant is None else {**state.utilities, key: self.tenant}
        return replace(
            state,
            reservations={**state.reservations, key: reservation},
            served={**_without(state.served, *over), key: self.starts_at},
            served_until={**_without(state.served_until, *over), key: self.ends_at},
            utilities=_without(utilities, *over),
        )


class Released(Event, frozen=True, kw_only=True):
    """A reservation has ended."""

    TOPIC: ClassVar[str] = "facility.released.v1"
    dr_event_id: UUID
    starts_at: datetime
    ends_at: datetime
    served: bool
    """False if the DR event was cancelled: it does not count against the limits then."""
    reason: str | None = None
    """Why it ended early; None: with its DR event, or by a change of it."""

    def evolve(self, state: FacilityState) -> FacilityState:
        key = str(self.dr_event_id)
        served, until = state.served, state.served_until
        if not self.served:
            served, until = _without(served, key), _without(until, key)
        remaining = {k: v for k, v in state.reservations.items() if k != key}
        known = self.served or key in state.not_restored_from
        return replace(
            state,
            reservations=remaining,
            served=served,
            served_until=until,
            left_before_start=state.left_before_start - {key},
            opted_out_of=state.opted_out_of - {key},
            opted_out_of_by_owner=state.opted_out_of_by_owner - {key},
            utilities=state.utilities if known else _without(state.utilities, key),
        )


class RestoreAwaited(Event, frozen=True, kw_only=True):
    """A restore failed: no other DR event gets the facility until it succeeds."""

    TOPIC: ClassVar[str] = "facility.restore-awaited.v1"
    dr_event_id: UUID
    facility_id: str

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, not_restored_from=state.not_restored_from | {str(self.dr_event_id)})


class RestoreConfirmed(Event, frozen=True, kw_only=True):
    """The building is restored after an earlier failure."""

    TOPIC: ClassVar[str] = "facility.restore-confirmed.v1"
    dr_event_id: UUID
    facility_id: str
    dr_event_ids: tuple[UUID, ...]
    """The other DR events that have reserved it: their plans may include it again."""

    def evolve(self, state: FacilityState) -> FacilityState:
        key = str(self.dr_event_id)
        known = key in state.served or key in state.reservations
        return replace(
            state,
            not_restored_from=state.not_restored_from - {key},
            utilities=state.utilities if known else _without(state.utilities, key),
        )


class OptedOut(Event, frozen=True, kw_only=True):
    """The facility will not serve one DR event, or any (None) until it opts in again."""

    TOPIC: ClassVar[str] = "facility.opted-out.v1"
    dr_event_id: UUID | None
    dr_event_ids: tuple[UUID, ...]
    """The reserved DR events that this concerns."""
    reason: str
    by_owner: bool = False
    """With a key of its owner, who may end it too."""

    def evolve(self, state: FacilityState) -> FacilityState:
        reserved = {key: one for i in self.dr_event_ids if (one := state.reservations.get(key := str(i)))}
        ahead = {key for key, one in reserved.items() if self.recorded_at < one.starts_at}
        state = replace(state, left_before_start=state.left_before_start | ahead)
        if self.dr_event_id is None:
            return replace(state, opted_out=True, opted_out_by_owner=self.by_owner)
        this = {str(self.dr_event_id)}
        by_owner = state.opted_out_of_by_owner
        return replace(
            state,
            opted_out_of=state.opted_out_of | this,
            opted_out_of_by_owner=by_owner | this if self.by_owner else by_owner - this,
        )


class OptedIn(Event, frozen=True, kw_only=True):
    """The facility serves again: that DR event, or any (None), including those it had opted out of.

    By its owner: those that its owner had opted it out of.
    """

    TOPIC: ClassVar[str] = "facility.opted-in.v1"
    dr_event_id: UUID | None
    dr_event_ids: tuple[UUID, ...]
    """The reserved DR events that this concerns."""
    reason: str
    by_owner: bool = False

    def evolve(self, state: FacilityState) -> FacilityState:
        if self.dr_event_id is not None:
            ended = frozenset({str(self.dr_event_id)})
        else:
            ended = state.opted_out_of_by_owner if self.by_owner else state.opted_out_of
            state = replace(state, opted_out=False, opted_out_by_owner=False)
        still_out = state.opted_out_of - ended
        back = {str(i) for i in self.dr_event_ids} - still_out
        return replace(
            state,
            opted_out_of=still_out,
            opted_out_of_by_owner=state.opted_out_of_by_owner - ended,
            left_before_start=state.left_before_start - back,
        )


OF_DR_EVENT = (Reserved, Released, RestoreAwaited, RestoreConfirmed)
"""Those that belong to the history of the DR event that they name."""
