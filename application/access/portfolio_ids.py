"""The ids of the portfolio: a key, a login or an import may name only facilities and utilities that it has."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from application.ports.event_store.event_store import EventStreams
from application.ports.facility import Utilities
from domain.facility import Facility
from domain.identifiers import facility_stream_id

MOST_NAMED = 10
"""Unknown ids that a message names; it says how many there are."""
NEAREST = 3
LOADED_AT_ONCE = 200


class NotInPortfolio(ValueError):
    """The portfolio has no facility or utility of that id. The text names the nearest ones that it has."""


@dataclass(frozen=True)
class PortfolioIds:
    """Synchronous. `facility_ids` returns those of the read model, which may be behind the log: what it does not have
    is looked up in `streams`. Deactivated facilities are in the portfolio."""

    facility_ids: Callable[[], Iterable[str]]
    streams: EventStreams
    utilities: Utilities

    def check_facility(self, facility_id: str) -> None:
        """Raises NotInPortfolio, and what reading the portfolio raises."""
        if self._unregistered([facility_id]):
            near = nearest_ids(facility_id, set(self.facility_ids()))
            raise NotInPortfolio(_unknown("facility", facility_id, near, "gridproof facilities list"))

    def check_utility(self, utility_id: str) -> None:
        """Raises NotInPortfolio, and what reading the portfolio raises."""
        if self.utilities.find(utility_id) is None:
            near = nearest_ids(utility_id, {one.utility_id for one in self.utilities.listed()})
            raise NotInPortfolio(_unknown("utility", utility_id, near, "gridproof facilities import"))

    def unknown_facilities(self, facility_ids: Collection[str]) -> dict[str, Sequence[str]]:
        """The facilities that the portfolio does not have, in their order, each with the nearest ids that it has (of
        the first MOST_NAMED only)."""
        known = set(self.facility_ids())
        unknown = self._unregistered([one for one in facility_ids if one not in known])
        return {
            one: nearest_ids(one, known) if number < MOST_NAMED else () for number, one in enumerate(unknown)
        }

    def _unregistered(self, facility_ids: Sequence[str]) -> list[str]:
        unknown: list[str] = []
        for start in range(0, len(facility_ids), LOADED_AT_ONCE):
            part = facility_ids[start : start + LOADED_AT_ONCE]
            registered = self.streams.load_many(Facility, [facility_stream_id(one) for one in part])
            unknown += [one for one in part if facility_stream_id(one) not in registered]
        return unknown


def nearest_ids(unknown: str, known: Collection[str]) -> Sequence[str]:
    """The ids that are spelled most like `unknown`, at most NEAREST, the nearest first."""
    return difflib.get_close_matches(unknown, known, n=NEAREST)


def _unknown(kind: str, given: str, near: Sequence[str], command: str) -> str:
    hint = f"did you mean {' or '.join(near)}?" if near else f"register it first (`{command}`)"
    return f"the portfolio has no {kind} {given!r}; {hint}"
