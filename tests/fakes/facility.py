"""Utilities, and coordinates of facilities, in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from application.facility.portfolio_entries import UtilityEntry
from domain.administration import AdministrativeAct
from domain.facility import Coordinates


class FakeUtilities:
    def __init__(self) -> None:
        self._entries: dict[str, UtilityEntry] = {}
        self.acts: list[Any] = []
        """What was recorded in the log."""

    def keep(self, entries: Sequence[UtilityEntry], *, at: datetime, act: AdministrativeAct) -> int:
        self.acts += act.collect_events()
        return sum(map(self._keep, entries))

    def _keep(self, entry: UtilityEntry) -> bool:
        known = self._entries.get(entry.utility_id)
        self._entries[entry.utility_id] = entry
        return known != entry

    def find(self, utility_id: str) -> UtilityEntry | None:
        return self._entries.get(utility_id)

    def listed(self, *, after: str = "", limit: int | None = None) -> list[UtilityEntry]:
        ids = [utility_id for utility_id in sorted(self._entries) if utility_id > after]
        return [self._entries[utility_id] for utility_id in ids[:limit]]


class FakeFacilityCoordinates:
    def __init__(self) -> None:
        self.acts: list[AdministrativeAct] = []
        self._stored: dict[str, Coordinates | None] = {}

    def put(self, coordinates: Mapping[str, Coordinates]) -> None:
        self._stored.update(coordinates)

    def stored(self) -> dict[str, Coordinates | None]:
        return dict(self._stored)

    def forget(self, facility_id: str, act: AdministrativeAct) -> bool:
        if facility_id in self._stored and self._stored[facility_id] is None:
            return False
        self._stored[facility_id] = None
        self.acts.append(act)
        return True
