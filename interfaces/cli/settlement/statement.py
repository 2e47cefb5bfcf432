"""`gridproof settlement statement`: writes the statement of a DR event, a month, or a season to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from domain.settlement.period import InvalidPeriod
from interfaces.cli.console.atomic_files import UnfinishedFile, converted_os_errors, publish
from interfaces.cli.settlement.running import opened_system

if TYPE_CHECKING:
    from interfaces.cli.settlement.running import RunningSystem
    from interfaces.settlement.audience import Audience

EXAMPLE = """
\b
Examples:
  gridproof settlement statement UTIL-2026-0042 --utility --format html --out statement.html
  gridproof settlement statement UTIL-2026-0042 --facility fac-001 --format csv --out fac-001.csv
  gridproof settlement statement --program summer-peak --period 2026-07 --utility --format html --out july.html
  gridproof settlement statement --program summer-peak --period 2026-06/2026-09 --facility fac-001 --format csv
    --out season.csv

A statement of a facility has its own part alone, so it may be given to the facility. The statement of a month is
provisional until none of its DR events can be settled again; this says so, and why. Exit status: 0 written, 1 not.
"""
SETTLEMENT_PATH = "/api/dr-events/{}/settlement"


def _period(_: click.Context, __: click.Parameter, written: str | None) -> str | None:
    from interfaces.settlement.periods import PeriodTooLarge, parsed_period

    if written is not None:
        try:
            parsed_period(written)
        except (InvalidPeriod, PeriodTooLarge) as error:
            raise click.BadParameter(str(error)) from None
    return written


@click.command("statement", epilog=EXAMPLE)
@click.argument("reference", metavar="[ID]", required=False)
@click.option("--program", "program_id", metavar="P", help="With --period, instead of ID.")
@click.option(
    "--period", callback=_period, metavar="PERIOD", help="A month, 2026-07, or a season, 2026-06/2026-09."
)
@click.option("--utility", "for_utility", is_flag=True, help="As the utility sees it.")
@click.option("--facility", "facility_id", metavar="F", help="This facility's own part alone.")
@click.option(
    "--format", "form", type=click.Choice(["html", "csv"]), required=True, help="A page, or records."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file to write; it must not exist.",
)
def statement(
    *,
    reference: str | None,
    program_id: str | None,
    period: str | None,
    for_utility: bool,
    facility_id: str | None,
    form: str,
    out: Path,
) -> None:
    """Write the statement of a DR event, or of a program's month or season."""
    from application.settlement.own_part import FacilityNotSettled

    if (reference is None) == (program_id is None) or (program_id is None) != (period is None):
        raise click.UsageError("give either ID, or --program and --period")
    if for_utility == (facility_id is not None):
        raise click.UsageError("give either --utility or --facility F")
    with opened_system() as system:
        try:
            if reference is not None:
                text = _of_dr_event(system, reference, facility_id, form)
            else:
                text = _of_period(system, program_id or "", period or "", facility_id, form)
        except FacilityNotSettled as error:
            raise click.ClickException(
                f"{error}; `gridproof settlement show ID` lists those that have"
            ) from error
    with UnfinishedFile(out) as file:
        with converted_os_errors(out):
            file.file.write(text.encode())
        publish([file])
    click.echo(f"{out}: {len(text.encode())} bytes")


def _of_dr_event(system: RunningSystem, reference: str, facility_id: str | None, form: str) -> str:
    from application.settlement.document import read_document
    from interfaces.settlement.audience import seen_by
    from interfaces.settlement.documents import revision_before, revision_in_force, stored_document
    from interfaces.settlement.origins import with_origins
    from interfaces.settlement.statement.csv_records import statement_csv
    from interfaces.settlement.statement.event_page import statement_html

    row = system.dr_event(reference)
    settlement = revision_in_force(row)
    document = read_document(stored_document(system.documents, row, settlement))
    previous = revision_before(system.documents, row, settlement)
    document = seen_by(_audience(row.utility_id, facility_id), document, previous)
    if form == "csv":
        return statement_csv(document, facility=facility_id, previous=previous)
    document = with_origins(system.log, document, settlement.settled_at)
    return statement_html(document, facility=facility_id, previous=previous)


def _audience(utility_id: str, facility_id: str | None) -> Audience:
    from interfaces.settlement.audience import Audience

    return Audience(utility_id) if facility_id is None else Audience(None, facility_id)


def _of_period(
    system: RunningSystem, program_id: str, period: str, facility_id: str | None, form: str
) -> str:
    from application.settlement.period_statement import notes_of
    from interfaces.settlement.periods import PeriodSources, statement_of
    from interfaces.settlement.statement.csv_records import month_csv
    from interfaces.settlement.statement.month_page import month_html

    program = system.program(program_id)
    if program is None:
        raise click.ClickException(
            f"there is no program {program_id}; `gridproof dr-events list --json` names those of DR events"
        )
    sources = PeriodSources(
        dr_events=system.models.dr_events,
        facilities=system.models.facilities,
        documents=system.documents,
        tenant=program.utility_id,
    )
    figures = statement_of(sources, program, period, now=system.clock.now(), facility_id=facility_id)
    notes = notes_of(figures.statement)
    for note in notes:
        click.echo(note, err=True)
    if form == "csv":
        return month_csv(figures.documents, figures.capacities, facility=facility_id)
    return month_html(
        period,
        figures.documents,
        figures.capacities,
        facility=facility_id,
        settlement_path=SETTLEMENT_PATH,
        notes=notes,
    )
