"""Utilities: whom we serve, and the references to their secrets. Coordinates of facilities, beside the log."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from application.facility.portfolio_entries import UtilityEntry
from domain.administration import AdministrativeAct
from domain.facility import Coordinates


class Utilities(Protocol):
    """The utilities of the portfolio (synchronous). Every method raises OperationsUnavailable."""

    def keep(self, entries: Sequence[UtilityEntry], *, at: datetime, act: AdministrativeAct) -> int:
        """Store utilities as `entries` state them, in one transaction with the act that records it in the log.

        Returns how many were not stored like this already.
        """
        ...

    def find(self, utility_id: str) -> UtilityEntry | None: ...

    def listed(self, *, after: str = "", limit: int | None = None) -> list[UtilityEntry]:
        """By id; `after`: the last one of the previous page. Without a limit all of them."""
        ...


class FacilityCoordinates(Protocol):
    """Where facilities are: of a home that is an address, so it can be forgotten.

    Synchronous. Every method raises OperationsUnavailable.
    """

    def put(self, coordinates: Mapping[str, Coordinates]) -> None:
        """Store those of some facilities, by id."""
        ...

    def stored(self) -> dict[str, Coordinates | None]:
        """Facility -> its coordinates; None: forgotten."""
        ...

    def forget(self, facility_id: str, act: AdministrativeAct) -> bool:
        """Forget those of that facility and record the act. False: they were forgotten already; nothing is recorded."""
        ...
