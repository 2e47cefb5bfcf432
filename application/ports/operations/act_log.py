"""The record of administrative acts that change no row of their own."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from domain.administration import AdministrativeAct


class AppliedMigration(NamedTuple):
    name: str
    applied_at: datetime


class ActLog(Protocol):
    """Synchronous. Every method raises OperationsUnavailable."""

    def record(self, acts: Sequence[AdministrativeAct]) -> int:
        """Append those that are not recorded yet. Returns their number."""
        ...

    def migrations(self) -> list[AppliedMigration]:
        """Every migration that was applied to the database, in order."""
        ...
