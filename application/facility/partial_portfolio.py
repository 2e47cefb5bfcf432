"""The readable part of a portfolio file with wrong fields: the rest is checked in the same round."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec

from application.facility.portfolio_entries import (
    BmsEntry,
    FacilityEntry,
    Identifier,
    Portfolio,
    ProgramEntry,
    UtilityEntry,
)
from domain.event_sourcing.decoders import converted

TEntry = TypeVar("TEntry", bound=msgspec.Struct)


class PartialPortfolio(NamedTuple):
    """A portfolio of which some entries have wrong fields: these have only their ids and enrolments."""

    portfolio: Portfolio
    unread: frozenset[str]
    """Their paths: `programs[0]`."""


def readable_part(document: Any) -> PartialPortfolio | None:
    """None where it is no portfolio at all."""
    if not isinstance(document, dict):
        return None
    unread: set[str] = set()
    return PartialPortfolio(
        Portfolio(
            utilities=tuple(_entries(document, "utilities", UtilityEntry, _unread_utility, unread)),
            programs=tuple(_entries(document, "programs", ProgramEntry, _unread_program, unread)),
            facilities=tuple(_entries(document, "facilities", FacilityEntry, _unread_facility, unread)),
        ),
        frozenset(unread),
    )


def _entries(
    document: dict[str, Any],
    name: str,
    kind: type[TEntry],
    stand_in: Callable[[Any, str], TEntry],
    unread: set[str],
) -> Iterator[TEntry]:
    """The entries of a list, in their places. Those with wrong fields are put into `unread`."""
    listed = document.get(name)
    for number, written in enumerate(listed if isinstance(listed, list) else ()):
        try:
            yield converted(written, kind)
        except msgspec.ValidationError:
            unread.add(f"{name}[{number}]")
            yield stand_in(written, f"{name}-{number}")


def _unread_utility(written: Any, otherwise: str) -> UtilityEntry:
    return UtilityEntry(utility_id=_id(written, "utility_id") or otherwise)


def _unread_program(written: Any, otherwise: str) -> ProgramEntry:
    return ProgramEntry(program_id=_id(written, "program_id") or otherwise, utility_id=otherwise)


def _unread_facility(written: Any, otherwise: str) -> FacilityEntry:
    programs = written.get("programs") if isinstance(written, dict) else None
    enrolled = [
        one if _is_id(one) else _id(one, "program_id")
        for one in (programs if isinstance(programs, list) else ())
    ]
    return FacilityEntry(
        facility_id=_id(written, "facility_id") or otherwise,
        meters=(),
        zones=(),
        bms=BmsEntry(address=""),
        programs=tuple(one for one in enrolled if one),
    )


def _id(written: Any, field: str) -> str | None:
    found = written.get(field) if isinstance(written, dict) else None
    return found if _is_id(found) else None


def _is_id(value: Any) -> bool:
    try:
        converted(value, Identifier)
    except msgspec.ValidationError:
        return False
    return True
