"""`gridproof telemetry meters`: the meters of a facility, and the removal of a stray's readings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from interfaces.cli.console.printing import print_answer, print_fields, print_json, print_table
from interfaces.cli.console.session import command_context, opened_stores

if TYPE_CHECKING:
    from application.ports.operations.act_log import ActLog
    from application.ports.telemetry.listed_meters import ListedMeters
    from application.ports.telemetry.rollups import TelemetryRollups
    from application.ports.telemetry.stored_meters import StoredMeters
    from application.telemetry.stray_meters import FacilityMeters
    from domain.event_sourcing.aggregate import Provenance

EXAMPLE = """
\b
Examples:
  gridproof telemetry meters fac-001
  gridproof telemetry meters fac-001 --json
  gridproof telemetry meters fac-001 --remove nosuchmeter --reason "a typo of the installer"

A stray has stored readings, and the portfolio does not list it: its readings count in what was stored by an earlier
release. --remove deletes them as a correction: quarter-hours are computed again, what changed is in the corrections,
and the measurements that used it are made again. The act is recorded for `gridproof audit administration`. The raw
archive keeps what was sent; a restore of that time brings it back. Not with telemetry in InfluxDB.
"""


class OpenedMeters(NamedTuple):
    stored: StoredMeters
    meters: ListedMeters
    rollups: TelemetryRollups
    acts: ActLog
    provenance: Callable[[], Provenance]


@contextmanager
def opened_meters() -> Iterator[OpenedMeters]:
    """The telemetry, portfolio and log of the running system. Raises NoRunningSystem."""
    from application.command_bus.decision_context import provenance_of
    from interfaces.bootstrap import stored_meters

    with opened_stores() as stores:
        context = command_context(stores)
        yield OpenedMeters(
            stored_meters(stores),
            stores.listed_meters(),
            stores.rollups(),
            stores.act_log(),
            lambda: provenance_of(context, stores.decision_clock.now()),
        )


@click.command("meters", epilog=EXAMPLE)
@click.argument("facility_id", metavar="FACILITY")
@click.option("--remove", "meter_id", metavar="METER", help="Remove the stored readings of this stray.")
@click.option("--reason", metavar="TEXT", help="Why; obligatory with --remove.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def meters(facility_id: str, meter_id: str | None, reason: str | None, *, as_json: bool) -> None:
    """The meters of FACILITY, their last readings, and those that the portfolio does not list."""
    from application.ports.telemetry.listed_meters import ListedMetersUnavailable
    from application.ports.telemetry.store import TelemetryStoreUnavailable

    if (meter_id is None) != (reason is None):
        raise click.UsageError("--remove METER and --reason TEXT go together")
    try:
        with opened_meters() as opened:
            if meter_id is not None and reason is not None:
                _remove(opened, facility_id, meter_id, reason, as_json=as_json)
            else:
                _show(opened, facility_id, as_json=as_json)
    except (ListedMetersUnavailable, TelemetryStoreUnavailable) as error:
        raise click.ClickException(f"{error}; try again when the store is back") from error


def _remove(opened: OpenedMeters, facility_id: str, meter_id: str, reason: str, *, as_json: bool) -> None:
    from application.telemetry.stray_meters import remove_stray

    report = remove_stray(
        opened.stored,
        opened.meters,
        opened.rollups,
        opened.acts,
        opened.provenance(),
        facility_id=facility_id,
        meter_id=meter_id,
        reason=reason,
    )
    print_answer(
        report,
        lambda: print_fields(
            [
                ("facility", report.facility_id),
                ("meter", report.meter_id),
                ("readings removed", report.readings),
                ("measured from", report.first_at),
                ("to", report.newest_at),
                ("quarter-hours corrected", report.corrected),
            ]
        ),
        as_json=as_json,
    )


def _show(opened: OpenedMeters, facility_id: str, *, as_json: bool) -> None:
    from application.telemetry.stray_meters import facility_meters, meter_rows

    found = facility_meters(opened.stored, opened.meters, facility_id)
    rows = [
        {
            "meter_id": name,
            "status": status,
            "newest_reading_at": stored and stored.newest_reading_at,
            "kw": stored and stored.kw,
            "kwh_total": stored and stored.kwh_total,
        }
        for name, status, stored in meter_rows(found)
    ]
    if as_json:
        print_json({"facility_id": facility_id, "meters": rows, "removals": found.removals})
        return
    print_table(["meter", "", "last reading", "kW", "kWh"], [list(row.values()) for row in rows])
    _tell(found)


def _tell(found: FacilityMeters) -> None:
    if not found.listed:
        click.echo(f"{found.facility_id} lists no meters: any may send")
    for one in found.strays:
        click.echo(f"{one.meter_id} is not in the portfolio: list it, or remove its readings with --remove")
    for name in found.never_sent:
        click.echo(f"{name} is in the portfolio, and no reading of it is stored")
    for removal in found.removals:
        click.echo(
            f"readings of {removal.meter_id} were removed at {removal.removed_at:%Y-%m-%d %H:%M}Z: {removal.reason}"
        )
