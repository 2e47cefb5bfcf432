"""The difference between a portfolio and what is recorded: by utility, program and facility."""

from collections.abc import Iterator
from typing import Any

import msgspec
from eventsourcing.utils import get_topic

from domain.administration import UtilityChange
from domain.facility import Facility, FacilityState
from domain.program import Program, Terms


class MemberChange(msgspec.Struct, frozen=True, kw_only=True):
    """A member, of terms or of a facility, by its path; null where it was, or will be, absent."""

    member: str
    before: Any
    after: Any


class ProgramChange(msgspec.Struct, frozen=True, kw_only=True):
    """A program with other terms than those recorded."""

    program_id: str
    version: int
    """Of the new terms."""
    is_new: bool
    changes: tuple[MemberChange, ...]
    """Empty for a new program."""


class FacilityChange(msgspec.Struct, frozen=True, kw_only=True):
    """A facility that differs from what is recorded."""

    facility_id: str
    is_new: bool
    domain_events: tuple[str, ...]
    """The topics of what is recorded, in order."""
    changes: tuple[MemberChange, ...] = ()
    """Empty for a new facility."""


class PortfolioDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The changes by an import of the portfolio; empty where it was imported before."""

    utilities: tuple[UtilityChange, ...] = ()
    programs: tuple[ProgramChange, ...] = ()
    facilities: tuple[FacilityChange, ...] = ()
    program_events: int = 0
    """The domain events that are recorded for programs."""

    def __bool__(self) -> bool:
        return bool(self.utilities or self.programs or self.facilities)


def program_change(program: Program) -> ProgramChange:
    """The change of a program with new terms that are not saved yet."""
    state = program.state
    before, after = state.versions.get(state.version - 1), state.versions[state.version]
    return ProgramChange(
        program_id=state.program_id,
        version=state.version,
        is_new=before is None,
        changes=() if before is None else tuple(term_changes(before, after)),
    )


def facility_change(facility: Facility, before: FacilityState | None) -> FacilityChange:
    """The change of a facility with domain events that are not saved yet; `before`: as it is recorded."""
    pending = facility.pending_events
    return FacilityChange(
        facility_id=facility.state.facility_id,
        is_new=before is None,
        domain_events=tuple(get_topic(type(domain_event)) for domain_event in pending),
        changes=() if before is None else tuple(facility_changes(before, facility.state)),
    )


def facility_changes(before: FacilityState, after: FacilityState) -> Iterator[MemberChange]:
    """Every agreed member that differs, by its path; a zone and an enrolment by their ids."""
    yield from _member_changes("", _agreed(before), _agreed(after))


def _agreed(state: FacilityState) -> Any:
    location = state.locations.agreed_last
    return msgspec.to_builtins(
        {
            "tz": location.tz,
            "weather_cell": location.weather_cell,
            "region": location.region,
            "in_force_from": location.from_day,
            "meters": sorted(state.meters),
            "zones": state.zones,
            "bms": state.bms,
            "programs": state.enrolments,
            "groups": sorted(state.groups),
            "limits": state.limits,
        }
    )


def term_changes(before: Terms, after: Terms) -> Iterator[MemberChange]:
    """Every member that differs, by its path, in the order of the terms."""
    yield from _member_changes("", msgspec.to_builtins(before), msgspec.to_builtins(after))


def _member_changes(path: str, before: Any, after: Any) -> Iterator[MemberChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        prefix = f"{path}." if path else ""
        for name in {**before, **after}:
            yield from _member_changes(f"{prefix}{name}", before.get(name), after.get(name))
    elif before != after:
        yield MemberChange(member=path, before=before, after=after)
