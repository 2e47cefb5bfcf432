"""The public holidays of a facility: by country and region, or by its time zone alone."""

from datetime import date
from functools import lru_cache
from importlib.resources import files

REGIONS_OF_ZONES = {"Europe/London": "GB-ENG", "Europe/Belfast": "GB-NIR"}
"""Zones that identify a region. Most zones of large countries span regions and get the national days."""


def region_of(tz: str, region: str | None) -> str:
    """`region` as given ("US-CA", "DE"), else derived from the time zone; "" where the zone belongs to no country."""
    return region or REGIONS_OF_ZONES.get(tz) or _countries().get(tz, "")


@lru_cache(maxsize=512)
def public_holidays(region: str, first_year: int, last_year: int) -> frozenset[date]:
    """Public holidays of those years; none where the country's calendar is unavailable."""
    country, _, subdivision = region.partition("-")
    if not country:
        return frozenset()
    import holidays  # takes half a second, which a process that asks for none should not wait for

    years = range(first_year, last_year + 1)
    try:
        return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=years))
    except NotImplementedError:
        # An unknown region of a known country still gets the national days.
        return public_holidays(country, first_year, last_year) if subdivision else frozenset()


@lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    """IANA zone -> ISO 3166 code, from the table that is part of the zones."""
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return {row[2]: row[0] for row in rows if len(row) > 2}


def load_calendars() -> None:
    """Load what the first look at any country's calendar would load: it takes longer than a notification may."""
    public_holidays("US", 2026, 2026)


class RegionalHolidays:
    """The port PublicHolidays on these calendars."""

    def region_of(self, tz: str, region: str | None) -> str:
        return region_of(tz, region)

    def in_years(self, region: str, first_year: int, last_year: int) -> frozenset[date]:
        return public_holidays(region, first_year, last_year)
