"""`gridproof facilities`: imports and lists the facilities of the portfolio, and forgets personal data of it."""

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.console.parameter_types import lists_as_of
from interfaces.cli.console.printing import (
    counted,
    name_unresolved,
    print_json,
    print_list,
    print_table,
    progress_of,
)
from interfaces.cli.console.session import command_context, opened_stores, operator, warn_if_behind
from interfaces.cli.console.tables import Column
from interfaces.cli.facilities.availability import AVAILABILITY_COMMANDS
from interfaces.cli.facilities.file_check import check_recorded, read_checked
from interfaces.cli.facilities.file_format import example, schema

if TYPE_CHECKING:
    from application.operations.portfolio_difference import MemberChange, PortfolioDifference
    from domain.administration import PersonalData
    from interfaces.bootstrap import Stores
    from projections.audit.stream_log import AsOf
    from projections.facility import FacilityRow
    from projections.queries.views import View

IMPORT_EXAMPLE = """
\b
Example:
  gridproof facilities import portfolio.yaml
  gridproof facilities import portfolio.yaml --dry-run

\b
A portfolio:
  utilities:
    - {utility_id: city-power, name: City Power, callback_secret_ref: "env:GRIDPROOF_SECRET_CALLBACK_CITY"}
  programs:
    - {program_id: summer-peak, utility_id: city-power}
  facilities:
    - facility_id: fac-001
      tz: America/Los_Angeles
      meters: [{meter_id: main}]
      zones: [{zone_id: zone-1, curtailable_kw: 40}]
      bms: {address: "https://bms.example/fac-001"}
      programs: [summer-peak]

`gridproof facilities example` prints a longer one, with comments. Importing again changes only what differs; what the
file leaves out stays as it is.
"""
LIST_EXAMPLE = """
\b
Examples:
  gridproof facilities list
  gridproof facilities list --json
  gridproof facilities list --group north
  gridproof facilities list --as-of 2026-07-14T21:30:00Z
"""
GROUPS_EXAMPLE = """
\b
Example:
  gridproof facilities groups --json
"""
FORGET_EXAMPLE = """
\b
Examples:
  gridproof facilities forget --coordinates-of fac-001
  gridproof facilities forget --callbacks-of city-power

They stand beside the log, which keeps ids only. A facility whose coordinates are forgotten has none until a portfolio
names them again; callbacks of a utility that are still to be sent to a forgotten address are recorded as undeliverable.
"""
MOST_BYTES = 64_000_000
MOST_LINES = 100
"""Of changed facilities that a dry run prints, and of the changes of each."""


@click.group("facilities", epilog=LIST_EXAMPLE)
def facilities_group() -> None:
    """The portfolio: import it, list its facilities, say which of them may serve."""


for availability_command in AVAILABILITY_COMMANDS:
    facilities_group.add_command(availability_command)
facilities_group.add_command(example)
facilities_group.add_command(schema)


@facilities_group.command("import", epilog=IMPORT_EXAMPLE)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check FILE and print what it would change; record nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def import_file(file: Path, dry_run: bool, as_json: bool) -> None:
    """Make the utilities, programs and facilities of FILE (YAML or JSON) known. All of FILE is checked first."""
    from application.facility.secret_references import references_of
    from application.operations.portfolio_import import (
        PortfolioTarget,
        entries_of,
        import_portfolio,
        rehearse_import,
    )
    from interfaces.bootstrap import weather_problems, wrong_references

    if file.stat().st_size > MOST_BYTES:
        raise click.ClickException(
            f"{file} is over {MOST_BYTES} bytes; split the portfolio into several files"
        )
    content = file.read_bytes()
    portfolio = read_checked(content)
    with opened_stores() as stores, progress_of(entries_of(portfolio), "entries") as progress:
        check_recorded(portfolio, stores)
        target = PortfolioTarget(
            stores.bus,
            stores.utilities(),
            stores.facility_coordinates(),
            stores.act_log(),
            stores.decision_clock,
            stores.events,
        )
        by = {"actor": operator(stores), "trace_id": secrets.token_hex(16)}
        if dry_run:
            report = rehearse_import(portfolio, target, **by)
        else:
            digest = hashlib.sha256(content).hexdigest()
            report = import_portfolio(portfolio, target, file_sha256=digest, progress=progress, **by)
        problems = weather_problems(stores, portfolio.facilities) if portfolio.facilities else []
        unresolved = wrong_references(stores, references_of(portfolio)).unresolved
    name_unresolved(unresolved)
    for problem in problems:
        click.echo(problem, err=True)
    if as_json:
        print_json(report)
        return
    for line in _changes(report.changes, with_facilities=dry_run):
        click.echo(line)
    changed = (
        f"{counted(report.domain_events, 'change', 'changes')} {'to record' if dry_run else 'recorded'}"
        if report.domain_events
        else "nothing new"
    )
    click.echo(
        f"{counted(report.utilities, 'utility', 'utilities')}, {counted(report.programs, 'program', 'programs')}, "
        f"{counted(report.facilities, 'facility', 'facilities')}: {changed}"
    )


def _changes(changes: "PortfolioDifference", *, with_facilities: bool) -> Iterator[str]:
    for utility in changes.utilities:
        yield f"utility {utility.utility_id}: {'new' if utility.is_new else ', '.join(utility.changed)}"
    for program in changes.programs:
        yield f"program {program.program_id}: {'new' if program.is_new else f'version {program.version}'}"
        yield from map(_member, program.changes)
    if with_facilities:
        for facility in changes.facilities[:MOST_LINES]:
            names = Counter(topic.split(".")[1] for topic in facility.domain_events)
            counted = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in names.items())
            yield f"facility {facility.facility_id}: {'new' if facility.is_new else counted}"
            yield from map(_member, facility.changes[:MOST_LINES])
        if (more := len(changes.facilities) - MOST_LINES) > 0:
            yield f"and {more} more facilities (--json lists all)"


def _member(change: "MemberChange") -> str:
    return f"  {change.member}: {_value(change.before)} -> {_value(change.after)}"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@facilities_group.command("groups", epilog=GROUPS_EXAMPLE)
@lists_as_of
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_groups(past: "AsOf | None", as_json: bool) -> None:
    """The totals of each group, a label that the portfolio gives its facilities."""
    from projections.facility_groups import group_totals
    from projections.queries.views import all_rows

    with opened_stores() as stores:
        totals = group_totals(all_rows(_all_of_them(stores, past)))
    print_list(
        {"groups": totals},
        ["group", "facilities", "active", "declared kW", "available kW", "reserved kW"],
        [
            (x.group, x.facilities, x.active_facilities, x.declared_kw, x.available_kw, x.reserved_kw)
            for x in totals
        ],
        if_empty="no facility has a group; name some in the portfolio (`groups: [north]`)",
        as_json=as_json,
    )


@facilities_group.command("list", epilog=LIST_EXAMPLE)
@lists_as_of
@click.option("--group", metavar="NAME", help="Only those of that group.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_facilities(past: "AsOf | None", group: str | None, as_json: bool) -> None:
    """Every facility, with what it can shed and how its latest dispatch stands."""
    from projections.facility import with_coordinates
    from projections.queries.views import all_rows

    with opened_stores() as stores:
        coordinates = stores.facility_coordinates().stored()
        rows = [
            with_coordinates(row, coordinates)
            for row in all_rows(_all_of_them(stores, past))
            if group is None or group in row.groups
        ]
        now = past if isinstance(past, datetime) else stores.clock.now()
    if as_json:
        print_json({"facilities": rows})
    elif rows:
        titles = ("status", "latest dispatch", "kW", "zones", "meters", "programs", "groups", "time zone")
        columns = [Column("facility", "id"), *map(Column, titles)]
        print_table(columns, (_cells(row, now) for row in rows))
    elif past is not None:
        click.echo("no facilities were known then")
    elif group is not None:
        click.echo(f"no facility is in the group {group}; see `gridproof facilities groups`")
    else:
        click.echo("no facilities; import them with `gridproof facilities import FILE`")


def _all_of_them(stores: "Stores", past: "AsOf | None") -> "View[FacilityRow]":
    if past is not None:
        from projections.as_of.lists import HistoricalLists

        return HistoricalLists(stores.stream_log()).facilities(past).rows
    warn_if_behind(stores, "facilities")
    return stores.read_models().facilities


@facilities_group.command("forget", epilog=FORGET_EXAMPLE)
@click.option("--coordinates-of", "facility_ids", multiple=True, metavar="FACILITY", help="May be repeated.")
@click.option("--callbacks-of", "utility_ids", multiple=True, metavar="UTILITY", help="May be repeated.")
def forget(*, facility_ids: tuple[str, ...], utility_ids: tuple[str, ...]) -> None:
    """Delete the coordinates of facilities, or all callback addresses of utilities, for good. It is recorded."""
    from application.command_bus.decision_context import provenance_of
    from domain.administration import AdministrativeAct

    if not facility_ids and not utility_ids:
        raise click.UsageError(
            "name what is to be forgotten: --coordinates-of FACILITY, --callbacks-of UTILITY"
        )
    with opened_stores() as stores:
        coordinates, addresses = stores.facility_coordinates(), stores.callback_addresses()
        _check_can_forget(stores, facility_ids)

        def act(kind: "PersonalData", subject_id: str, count: int) -> AdministrativeAct:
            at = provenance_of(command_context(stores), stores.decision_clock.now())
            return AdministrativeAct.forget_personal_data(at, kind=kind, subject_id=subject_id, count=count)

        for facility_id in facility_ids:
            was_new = coordinates.forget(facility_id, act("coordinates", facility_id, 1))
            click.echo(
                f"the coordinates of {facility_id} are {'forgotten' if was_new else 'forgotten already'}"
            )
        for utility_id in utility_ids:
            count = addresses.forget(utility_id, partial(act, "callback_addresses", utility_id))
            click.echo(f"{count} callback address{'' if count == 1 else 'es'} of {utility_id} forgotten")


def _check_can_forget(stores: "Stores", facility_ids: tuple[str, ...]) -> None:
    from projections.facility import key_of

    unknown = [one for one in facility_ids if stores.read_models().facilities.get(key_of(one)) is None]
    if unknown:
        raise click.ClickException(f"no facility {', '.join(unknown)}; see `gridproof facilities list`")


def _cells(row: "FacilityRow", now: datetime) -> list[object]:
    latest = row.latest_dispatch
    return [
        row.facility_id,
        _standing(row),
        latest and f"{latest.status} ({latest.starts_at:%Y-%m-%d %H:%MZ})",
        row.curtailable_kw,
        len(row.zones),
        len(row.meters),
        row.programs,
        row.groups,
        row.locations.at(now).tz,
    ]


def _standing(row: "FacilityRow") -> str:
    """Its status, and whether it takes part in DR events."""
    if row.opted_out:
        return f"{row.status}, opted out" + (" by its owner" if row.opted_out_by_owner else "")
    if row.opted_out_of:
        return f"{row.status}, opted out of {counted(len(row.opted_out_of), 'DR event', 'DR events')}"
    return row.status
