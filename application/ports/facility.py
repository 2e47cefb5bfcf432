"""Utilities: whom we serve, and the references to their secrets."""

from datetime import datetime
from typing import Protocol

from application.facility.portfolio_entries import UtilityEntry


class Utilities(Protocol):
    """The utilities of the portfolio (synchronous). Every method raises OperationsUnavailable."""

    def keep(self, entry: UtilityEntry, *, at: datetime) -> bool:
        """Store a utility as `entry` states it. False if it was stored like this already.

        Without `webhook_v1_until` the stored date stays.
        """
        ...

    def find(self, utility_id: str) -> UtilityEntry | None: ...

    def listed(self) -> list[UtilityEntry]:
        """Every utility, by id."""
        ...
