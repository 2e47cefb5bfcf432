"""What the edge knows of the portfolio as it is recorded. All calls are synchronous."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from application.facility.portfolio_entries import UtilityEntry
from domain.facility import FacilityState


@dataclass(frozen=True, kw_only=True)
class PortfolioSources:
    facility: Callable[[str], FacilityState | None] = lambda _: None
    """A facility of the log; None: there is none."""
    utilities: Callable[[], Sequence[UtilityEntry]] = lambda: ()
    """Every utility, by id."""
    secret_references: Callable[[], Sequence[str]] = lambda: ()
    """The references that this process can resolve, by name."""
