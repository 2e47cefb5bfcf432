"""`gridproof telemetry imports`: the imports of history, and taking one back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from interfaces.cli.console.printing import print_answer, print_fields, print_json, print_table
from interfaces.cli.console.session import command_context, opened_stores

if TYPE_CHECKING:
    from application.history_import.taking_back import Seal, TakeBackReport
    from application.ports.operations.act_log import ActLog
    from application.ports.telemetry.imported_history import ImportedHistory, RecordedImport
    from domain.event_sourcing.aggregate import Provenance

LIST_EXAMPLE = """
\b
Examples:
  gridproof telemetry imports list
  gridproof telemetry imports list --limit 5 --json
"""
TAKE_BACK_EXAMPLE = """
\b
Examples:
  gridproof telemetry imports take-back 3f9a1c0b --reason "the file of another year"

ID is what `gridproof telemetry imports list` shows, its first 8 characters or more. The rows of the import leave the
series: an interval has afterwards what the other imports say of it. Readings of meters stay. Quarter-hours that readers
then see otherwise are corrections: measurements that used them are made again, and their days are sealed again. The act
is recorded for `gridproof audit administration`. What was interrupted, or failed for a facility, is done by the same
command again. Not with telemetry in InfluxDB.
"""
NAMED = 2


class OpenedImports(NamedTuple):
    imports: ImportedHistory
    acts: ActLog
    provenance: Callable[[], Provenance]
    seal: Callable[[Provenance], tuple[Collection[str], Seal]]


@contextmanager
def opened_imports() -> Iterator[OpenedImports]:
    """The imports and the log of the running system. Raises NoRunningSystem."""
    from application.command_bus.decision_context import provenance_of
    from interfaces.bootstrap import imported_history, seal_without_import

    with opened_stores() as stores:
        context = command_context(stores)
        yield OpenedImports(
            imported_history(stores),
            stores.act_log(),
            lambda: provenance_of(context, stores.decision_clock.now()),
            lambda provenance: seal_without_import(stores, provenance),
        )


@click.group("imports")
def imports_group() -> None:
    """The imports of history: list them, take one back."""


@imports_group.command("list", epilog=LIST_EXAMPLE)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most this many."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_imports(limit: int, *, as_json: bool) -> None:
    """The imports of history, the newest first."""
    from application.history_import.taking_back import state_of

    with opened_imports() as opened:
        found = opened.imports.listed(limit=limit)
        names = {
            one.import_id: [span.facility_id for span in opened.imports.spans(one.import_id)] for one in found
        }
    if as_json:
        print_json({"imports": [{**_document(one), "facility_ids": names[one.import_id]} for one in found]})
        return
    print_table(
        ["id", "begun", "rows", "facilities", "from", "to", "state"],
        [
            (
                str(one.import_id)[:13],
                f"{one.begun_at:%Y-%m-%d %H:%MZ}",
                one.rows,
                _named(names[one.import_id]),
                f"{one.starts_at:%Y-%m-%d}",
                f"{one.ends_at:%Y-%m-%d}",
                state_of(one),
            )
            for one in found
        ],
    )
    for one in found:
        click.echo(f"{str(one.import_id)[:13]}: by {one.begun_by}, SHA-256 of the file {one.file_sha256}")
        if one.taken_back_at is not None:
            click.echo(
                f"    taken back at {one.taken_back_at:%Y-%m-%d %H:%MZ} by {one.taken_back_by}: {one.reason}"
            )
        if one.facilities_left:
            click.echo(
                f"    {one.facilities_left} of {one.facilities} facilities are left: take it back again"
            )
    if not found:
        click.echo("no import yet; see `gridproof telemetry import --help`", err=True)


@imports_group.command("take-back", epilog=TAKE_BACK_EXAMPLE)
@click.argument("import_id", metavar="ID")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept beside the log.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def take_back_import(import_id: str, *, reason: str, as_json: bool) -> None:
    """Take an import back, as a correction."""
    from application.history_import.taking_back import find_import, take_back
    from application.ports.telemetry.store import TelemetryStoreUnavailable

    try:
        with opened_imports() as opened:
            recorded = find_import(opened.imports, import_id)
            provenance = opened.provenance()
            portfolio, seal = opened.seal(provenance)
            report = take_back(
                opened.imports,
                opened.acts,
                provenance,
                recorded,
                reason=reason,
                portfolio=portfolio,
                seal=seal,
            )
    except TelemetryStoreUnavailable as error:
        raise click.ClickException(f"{error}; the same command again does the rest") from error
    print_answer({**_report(report), "facilities": report.facilities}, lambda: _tell(report), as_json=as_json)
    if report.failed:
        raise click.exceptions.Exit(1)


def _tell(report: TakeBackReport) -> None:
    print_fields([(name.replace("_", " "), value) for name, value in _report(report).items()])
    for one in report.failed:
        click.echo(
            f"{one.facility_id} is not done: {one.failure}; the same command again does the rest", err=True
        )
    if not report.facilities:
        click.echo("nothing was left to be done: it was taken back before")


def _report(report: TakeBackReport) -> dict[str, object]:
    total = report.total
    return {
        "import_id": report.import_id,
        "rows_of_the_file": report.rows,
        "facilities_done": len(report.facilities) - len(report.failed),
        "facilities_failed": len(report.failed),
        "rows_removed": total.removed,
        "rows_with_the_value_of_an_earlier_import_again": total.restored,
        "rows_that_another_import_says_too_or_replaced": total.kept,
        "quarter_hours_corrected": total.corrected,
    }


def _document(one: RecordedImport) -> dict[str, object]:
    from application.history_import.taking_back import state_of

    return {**{name: getattr(one, name) for name in one.__struct_fields__}, "state": state_of(one)}


def _named(facility_ids: Sequence[str]) -> str:
    more = len(facility_ids) - NAMED
    return ", ".join(facility_ids[:NAMED]) + (f" and {more} more" if more > 0 else "")
