"""`gridproof facilities`: the portfolio of utilities, programs and facilities."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.printing import print_json, print_table, progress_of
from interfaces.cli.session import opened_stores, operator, warn_if_behind

if TYPE_CHECKING:
    from application.portfolio import Portfolio
    from interfaces.bootstrap import Stores
    from projections.facilities import FacilityRow

IMPORT_EXAMPLE = """
\b
Example:
  gridproof facilities import portfolio.yaml

\b
A portfolio:
  utilities:
    - {utility_id: city-power, name: City Power, callback_secret_ref: "env:GRIDPROOF_SECRET_CITY"}
  programs:
    - {program_id: summer-peak, utility_id: city-power}
  facilities:
    - facility_id: fac-001
      tz: America/Los_Angeles
      meters: [{meter_id: main}]
      zones: [{zone_id: zone-1, curtailable_kw: 40}]
      bms: {address: "https://bms.example/fac-001"}
      programs: [summer-peak]

Importing again changes only what differs; what the file leaves out stays as it is.
"""
LIST_EXAMPLE = """
\b
Examples:
  gridproof facilities list
  gridproof facilities list --json
"""
MOST_BYTES = 64_000_000


@click.group("facilities", epilog=LIST_EXAMPLE)
def facilities_group() -> None:
    """The portfolio: import it, list its facilities."""


@facilities_group.command("import", epilog=IMPORT_EXAMPLE)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def import_file(file: Path, as_json: bool) -> None:
    """Make the utilities, programs and facilities of FILE (YAML or JSON) known. All of FILE is checked first."""
    from application.portfolio_import import import_portfolio
    from application.portfolio_problems import read_portfolio

    if file.stat().st_size > MOST_BYTES:
        raise click.ClickException(
            f"{file} is over {MOST_BYTES} bytes; split the portfolio into several files"
        )
    portfolio = read_portfolio(file.read_bytes())
    with opened_stores() as stores, progress_of(len(portfolio.facilities), "facilities") as progress:
        _check(portfolio, stores)
        report = import_portfolio(
            portfolio,
            bus=stores.bus,
            utilities=stores.utilities(),
            at=stores.clock.now(),
            actor=operator(),
            trace_id=secrets.token_hex(16),
            progress=progress,
        )
    if as_json:
        print_json(report)
        return
    click.echo(
        f"{report.utilities} utilities, {report.programs} programs, {report.facilities} facilities: "
        + (f"{report.domain_events} changes recorded" if report.domain_events else "nothing new")
    )


def _check(portfolio: "Portfolio", stores: "Stores") -> None:
    from application.portfolio_problems import check_references
    from application.ports.event_store import StreamNotFound
    from domain.identifiers import program_stream_id
    from domain.program import Program

    def known_programs() -> Iterator[str]:
        for program_id in {name for facility in portfolio.facilities for name in facility.programs}:
            try:
                stores.events.load(Program, program_stream_id(program_id))
            except StreamNotFound:
                continue
            yield program_id

    check_references(
        portfolio,
        known_utilities=[entry.utility_id for entry in stores.utilities().listed()],
        known_programs=list(known_programs()),
    )


@facilities_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_facilities(as_json: bool) -> None:
    """Every facility, with what it can shed and how its latest dispatch stands."""
    with opened_stores() as stores:
        warn_if_behind(stores, "facilities")
        rows = list(_every(stores))
    if as_json:
        print_json({"facilities": rows})
    elif rows:
        columns = ["facility", "status", "time zone", "meters", "zones", "kW", "programs", "latest dispatch"]
        print_table(columns, map(_cells, rows))
    else:
        click.echo("no facilities; import them with `gridproof facilities import FILE`")


def _every(stores: "Stores") -> Iterator["FacilityRow"]:
    view = stores.read_models().facilities
    cursor: str | None = None
    while True:
        page = view.listed(cursor=cursor, limit=1_000)
        yield from page.rows
        cursor = page.next_cursor
        if cursor is None:
            return


def _cells(row: "FacilityRow") -> list[object]:
    latest = row.latest_dispatch
    return [
        row.facility_id,
        row.status,
        row.tz,
        len(row.meters),
        len(row.zones),
        row.curtailable_kw,
        row.programs,
        latest and f"{latest.status} ({latest.starts_at:%Y-%m-%d %H:%MZ})",
    ]
