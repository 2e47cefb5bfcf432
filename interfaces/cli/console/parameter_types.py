"""Parsers of option values: time, day, time zone, region. A bad value is a usage error (exit code 2)."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import msgspec

from application.facility.portfolio_entries import Region
from domain.event_sourcing.decoders import converted
from interfaces.as_of import NotAMomentOrPosition, read_as_of
from projections.audit.stream_log import AsOf


def moment(written: str) -> datetime:
    """An ISO 8601 time with its UTC offset, as an aware datetime in UTC."""
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        raise click.BadParameter(f"{written!r} is not ISO 8601, such as 2026-07-14T21:00:00Z") from None
    if found.tzinfo is None:
        raise click.BadParameter(f"{written!r} has no UTC offset; add Z or one such as +01:00")
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise click.BadParameter(f"{written!r} is in UTC no time of the years 1 to 9999") from None


def as_of(written: str) -> AsOf:
    """A time as for `moment`, or a log position."""
    try:
        return read_as_of(written)
    except NotAMomentOrPosition as error:
        raise click.BadParameter(str(error)) from None


lists_as_of = click.option(
    "--as-of",
    "past",
    metavar="TIME|N",
    type=as_of,
    help="As they stood then (ISO 8601 with offset), or at position N of the log.",
)


def day(written: str) -> date:
    """A calendar day, YYYY-MM-DD."""
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise click.BadParameter(f"{written!r} is not a day, such as 2026-07-14") from None


def time_zone(written: str) -> ZoneInfo:
    """An IANA time zone."""
    try:
        return ZoneInfo(written)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter(f"{written!r} is no IANA time zone, such as Europe/London") from None


def country_or_region(written: str) -> str:
    """A country code, optionally with a region after a hyphen (ISO 3166), as in the portfolio."""
    try:
        return converted(written, Region)
    except msgspec.ValidationError:
        raise click.BadParameter(
            f"{written!r} is no country or region, such as DE, US-CA or GB-SCT"
        ) from None
