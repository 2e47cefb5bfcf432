"""`gridproof telemetry gaps`: which readings of which meter are missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from interfaces.cli.console.parameter_types import moment
from interfaces.cli.console.printing import print_answer, print_table
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from application.ports.telemetry.listed_meters import ListedMeters
    from application.telemetry.reading_gaps import FacilityGaps, GapSources
    from domain.telemetry.reading_gaps import MeterGaps

EXAMPLE = """
\b
Examples:
  gridproof telemetry gaps
  gridproof telemetry gaps --facility fac-001 --from 2026-07-14T00:00:00Z --to 2026-07-15T00:00:00Z --json

`missing` counts readings that are not there by time: each meter sends every 15 s, or at its own cadence. `numbers`
counts the meter's own numbers (seq) that did not arrive: such a reading was made, and got lost. Missing by time alone:
the meter made none. Hours are UTC; at most 7 days, and 12,000 hours times meters of a facility.
"""
NAMED = 3


class OpenedSources(NamedTuple):
    sources: GapSources
    meters: ListedMeters


@contextmanager
def opened_sources() -> Iterator[OpenedSources]:
    """The telemetry and the portfolio of the running system. Raises NoRunningSystem."""
    from interfaces.bootstrap import gap_sources

    with opened_stores() as stores:
        yield OpenedSources(gap_sources(stores), stores.listed_meters())


@click.command("gaps", epilog=EXAMPLE)
@click.option("--facility", "facility_id", metavar="ID", help="Only this one. [default: all]")
@click.option(
    "--from", "first", type=moment, metavar="TIME", help="With its UTC offset. [default: a day ago]"
)
@click.option("--to", "last", type=moment, metavar="TIME", help="Not in it any more. [default: now]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def gaps(facility_id: str | None, first: datetime | None, last: datetime | None, *, as_json: bool) -> None:
    """Missing readings of each listed meter, by hour."""
    from application.ports.telemetry.listed_meters import ListedMetersUnavailable
    from application.ports.telemetry.store import TelemetryStoreUnavailable
    from application.telemetry.reading_gaps import GapsWindowTooLong
    from domain.time_series.windows import InvalidWindow

    try:
        with opened_sources() as opened:
            found = [
                opened.sources.facility_gaps(one, meters, opened.sources.window(first, last, len(meters)))
                for one, meters in sorted(_listing(opened.meters, facility_id).items())
            ]
    except (GapsWindowTooLong, InvalidWindow) as error:
        raise click.UsageError(str(error)) from error
    except (ListedMetersUnavailable, TelemetryStoreUnavailable) as error:
        raise click.ClickException(f"{error}; ask again when the store is back") from error
    print_answer({"facilities": [_document(one) for one in found]}, lambda: _print(found), as_json=as_json)


def _listing(meters: ListedMeters, facility_id: str | None) -> Mapping[str, frozenset[str]]:
    if facility_id is None:
        return meters.everything()
    listing = meters.among([facility_id])
    if facility_id not in listing:
        raise click.ClickException(
            f"the portfolio has no facility {facility_id}; see `gridproof facilities list`"
        )
    return listing


def _document(found: FacilityGaps) -> dict[str, object]:
    return {
        "facility_id": found.facility_id,
        "starts_at": found.window.starts_at,
        "ends_at": found.window.ends_at,
        "hours": found.hours,
        "meters": found.meters,
        "unlisted_meters": found.strays,
    }


def _print(found: list[FacilityGaps]) -> None:
    rows = [row for one in found for row in _rows(one)]
    if rows:
        columns = ["facility", "hour", "readings", "missing", "numbers", "unusable", "restarts", "meters"]
        print_table(columns, rows)
    for one in found:
        if not any(hour.is_short for hour in one.hours):
            period = f"{one.window.starts_at:%Y-%m-%d %H:%M} to {one.window.ends_at:%Y-%m-%d %H:%M} UTC"
            click.echo(f"{one.facility_id}: nothing is missing of {len(one.meters)} meters, {period}")
        if one.strays:
            click.echo(
                f"{one.facility_id}: readings of meters that the portfolio does not list: "
                f"{_named(one.strays)}; see `gridproof telemetry meters {one.facility_id}`"
            )


def _rows(found: FacilityGaps) -> Iterator[tuple[object, ...]]:
    for n, hour in enumerate(found.hours):
        if hour.is_short or hour.restarts:
            yield (
                found.facility_id,
                f"{hour.starts_at:%Y-%m-%d %H:%M}Z",
                hour.readings,
                hour.missing,
                hour.missing_seqs,
                hour.unusable,
                hour.restarts,
                _named([_shortfall(one, n) for one in found.meters if one.hours[n].is_short]),
            )


def _shortfall(meter: MeterGaps, n: int) -> str:
    hour = meter.hours[n]
    return f"{meter.meter_id} {max(hour.missing, hour.missing_seqs) + hour.unusable}"


def _named(names: list[str] | tuple[str, ...]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
