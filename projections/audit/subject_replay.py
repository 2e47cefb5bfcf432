"""Replay of a facility or a program from the log: every change with its actor and reason, and the state at any moment.

As of a moment or a position means the same as for a DR event (`projections.audit.replay`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import msgspec
from msgspec.structs import replace

from domain.event_sourcing.aggregate import state_after
from domain.facility import Facility, FacilityState
from domain.identifiers import facility_stream_id, program_stream_id
from domain.program import Program, ProgramState
from projections.audit.administration import Act, ActFilter, SubjectHistory
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog, position_as_of

_AT_ONCE = 1_000


class SubjectNotRecorded(LookupError):
    """The log has no such facility or program (as of that moment)."""


class FacilityReplay(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `gridproof audit replay --facility --json` and of GET /api/audit/facilities/{id}."""

    facility_id: str
    as_of: AsOf | None
    position: int
    """The last position of the log that is taken into account."""
    steps: tuple[Act, ...]
    """In the order of the log: its own domain events, and the administrative acts that name it."""
    facility: FacilityState
    """The state then, evolved by the aggregate's own rules; without coordinates, which stand beside the log, and
    without the reference to its credentials."""


class ProgramReplay(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `gridproof audit replay --program --json` and of GET /api/audit/programs/{id}."""

    program_id: str
    utility_id: str
    as_of: AsOf | None
    position: int
    """The last position of the log that is taken into account."""
    steps: tuple[Act, ...]
    program: ProgramState
    """The state then: every version of its terms."""


def facility_replay(
    log: StreamLog, facility_id: str, *, as_of: AsOf | None = None, only_this: bool = False
) -> FacilityReplay:
    """`only_this` leaves out acts that name other facilities too. Raises SubjectNotRecorded, PositionAhead or
    StreamLogUnavailable."""
    wanted = ActFilter(facility_id=facility_id, only_this=only_this)
    position = position_as_of(log, as_of)
    own = _own(log, facility_stream_id(facility_id), position, f"facility {facility_id!r}")
    state: FacilityState = _state_after(own)
    steps = _steps(own, _acts_about(log, wanted, position, {entry.position for entry in own}))
    bms = None if state.bms is None else replace(state.bms, credentials_ref=None)
    return FacilityReplay(
        facility_id=facility_id,
        as_of=as_of,
        position=position,
        steps=tuple(step for step in steps if wanted.fits(step)),
        facility=replace(state, latitude=None, longitude=None, bms=bms),
    )


def program_replay(log: StreamLog, program_id: str, *, as_of: AsOf | None = None) -> ProgramReplay:
    """Raises SubjectNotRecorded, PositionAhead or StreamLogUnavailable."""
    position = position_as_of(log, as_of)
    own = _own(log, program_stream_id(program_id), position, f"program {program_id!r}")
    state: ProgramState = _state_after(own)
    return ProgramReplay(
        program_id=program_id,
        utility_id=state.utility_id,
        as_of=as_of,
        position=position,
        steps=tuple(_steps(own, [])),
        program=state,
    )


def _own(log: StreamLog, stream_id: Any, position: int, name: str) -> list[StreamEntry]:
    own = [entry for entry in log.entries_of([stream_id]) if entry.position <= position]
    if not own:
        raise SubjectNotRecorded(f"the log has no {name} (then)")
    return own


def _state_after(own: Sequence[StreamEntry]) -> Any:
    return reduce(state_after, (entry.domain_event for entry in own), None)


def _acts_about(log: StreamLog, wanted: ActFilter, position: int, own: set[int]) -> list[StreamEntry]:
    """Acts of other streams up to `position` that may name it."""
    found: list[StreamEntry] = []
    before: int | None = position + 1
    while True:
        entries = log.acts(before=before, limit=_AT_ONCE, about=wanted.subject)
        found += [entry for entry in entries if entry.position not in own]
        if len(entries) < _AT_ONCE:
            return found
        before = entries[-1].position


def _steps(own: Sequence[StreamEntry], others: Sequence[StreamEntry]) -> list[Act]:
    """The acts of both, in the order of the log. `own` are all of one stream."""
    subjects = SubjectHistory.folded(own)
    of_others = (
        entry for entry in others if not isinstance(entry.domain_event, Facility.Event | Program.Event)
    )
    return [subjects.act_of(entry) for entry in sorted([*own, *of_others], key=lambda entry: entry.position)]
