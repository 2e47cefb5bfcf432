"""Public holidays by country and region."""

from datetime import date
from typing import Protocol


class PublicHolidays(Protocol):
    """The public holidays of regions (synchronous, computed without a server, never fails)."""

    def region_of(self, tz: str, region: str | None) -> str:
        """`region` (ISO 3166, "DE" or "US-CA") where it is given, else that of the IANA time zone; "" where the zone
        belongs to no country."""
        ...

    def in_years(self, region: str, first_year: int, last_year: int) -> frozenset[date]:
        """The public holidays of those years, both included; none for a region without a known calendar."""
        ...
