"""The meters that the portfolio lists for each facility."""

from collections.abc import Collection, Hashable, Mapping
from typing import Protocol

Listing = Mapping[str, frozenset[str]]
"""Facility -> its meters. An empty set: the facility lists none. A facility that is not in it is not in the
portfolio, or was deactivated."""


class ListedMetersUnavailable(ConnectionError):
    """The portfolio cannot be read, or did not answer in time."""


class ListedMeters(Protocol):
    """Synchronous. Every method raises ListedMetersUnavailable."""

    def version(self) -> Hashable:
        """Equal versions mean an equal listing."""
        ...

    def everything(self) -> dict[str, frozenset[str]]:
        """The meters of every facility of the portfolio that is not deactivated, for the caller to change."""
        ...

    def among(self, facility_ids: Collection[str]) -> Listing:
        """The meters of the facilities that are in the portfolio and not deactivated; one round trip."""
        ...

    def deactivated(self) -> frozenset[str]:
        """The facilities of the portfolio that are deactivated."""
        ...
