"""Utilities: whom we serve, and the references to their secrets."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from application.facility.portfolio_entries import UtilityEntry
from domain.administration import AdministrativeAct


class Utilities(Protocol):
    """The utilities of the portfolio (synchronous). Every method raises OperationsUnavailable."""

    def keep(self, entries: Sequence[UtilityEntry], *, at: datetime, act: AdministrativeAct) -> int:
        """Store utilities as `entries` state them, in one transaction with the act that records it in the log.

        Returns how many were not stored like this already. Without `webhook_v1_until` the stored date stays.
        """
        ...

    def find(self, utility_id: str) -> UtilityEntry | None: ...

    def listed(self) -> list[UtilityEntry]:
        """Every utility, by id."""
        ...
