"""The portfolio as it is recorded, for the edge. All calls are synchronous."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from application.access.portfolio_ids import PortfolioIds
from application.facility.portfolio_entries import UtilityEntry
from application.operations.portfolio_import import PortfolioTarget
from domain.facility import FacilityState


class UtilityList(Protocol):
    def __call__(self, *, after: str = "", limit: int | None = None) -> Sequence[UtilityEntry]:
        """By id; `after`: the last one of the previous page. Without a limit all of them."""
        ...


@dataclass(frozen=True, kw_only=True)
class PortfolioSources:
    facility: Callable[[str], FacilityState | None] = lambda _: None
    """A facility of the log; None: there is none."""
    utilities: UtilityList = lambda *, after="", limit=None: ()
    secret_references: Callable[[], Sequence[str]] = lambda: ()
    """The references that this process can resolve, by name."""
    ids: PortfolioIds | None = None
    """The facilities and utilities that a key may name; None: any."""
    target: PortfolioTarget | None = None
    """Where a portfolio file is imported to; None: on the command line only."""
