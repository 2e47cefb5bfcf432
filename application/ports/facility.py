"""Utilities: whom we serve, and by which references their secrets are found."""

from datetime import datetime
from typing import Protocol

from application.facility.portfolio_entries import UtilityEntry


class Utilities(Protocol):
    """The utilities of the portfolio (synchronous). Every method raises OperationsUnavailable."""

    def keep(self, entry: UtilityEntry, *, at: datetime) -> bool:
        """Make a utility known as `entry` states it; False if it was known so already."""
        ...

    def find(self, utility_id: str) -> UtilityEntry | None: ...

    def listed(self) -> list[UtilityEntry]:
        """Every utility, by id."""
        ...
