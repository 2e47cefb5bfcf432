"""`gridproof telemetry import`: imports history from a file into the running system's telemetry store."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from application.history_import.admission import Admission
from application.history_import.importer import (
    HistoryReport,
    OnProgress,
    check_import,
    import_history,
)
from application.history_import.inspection import InspectedFacility, inspect_readings
from application.ports.history_import import (
    OnRead,
    OrderedReadings,
    ReadingsFile,
    ReadingsFileError,
    UnreadableFile,
)
from application.ports.telemetry.store import ReadingsRefused, TelemetryStoreUnavailable
from interfaces.cli.console.lazy_group import to_click_exception
from interfaces.cli.console.printing import print_json, print_table
from interfaces.cli.console.readings import open_readings
from interfaces.cli.console.session import command_context, opened_stores
from interfaces.cli.telemetry.archive import archive_group
from interfaces.cli.telemetry.export import export
from interfaces.cli.telemetry.gaps import gaps
from interfaces.cli.telemetry.history import history
from interfaces.cli.telemetry.host_task import host_task
from interfaces.cli.telemetry.import_target import ImportTarget, import_target
from interfaces.cli.telemetry.imports import imports_group
from interfaces.cli.telemetry.meters import meters

EXAMPLE = """
\b
Examples:
  gridproof telemetry import load.csv
  gridproof telemetry import history.parquet --facility fac-001 --facility fac-002 --json
  gridproof telemetry import usage.xml --facility fac-001 --dry-run

Rows of facilities that the portfolio does not have are refused, unless --allow-unknown is given, and so are rows of
intervals that are not over. An import can be taken back: `gridproof telemetry imports`. A dry run stores nothing and
needs no running system (without one it does not see the portfolio); its exit status is 3 where the file would be
refused. Green Button
XML names usage points, not facilities: --facility says whose it is, else the title of each usage point does.
"""
WOULD_BE_REFUSED = 3


@click.group("telemetry")
def telemetry_group() -> None:
    """Readings of the meters, and history from files."""


telemetry_group.add_command(archive_group)
telemetry_group.add_command(imports_group)
telemetry_group.add_command(history)
telemetry_group.add_command(gaps)
telemetry_group.add_command(meters)
telemetry_group.add_command(export)
telemetry_group.add_command(host_task)


@contextmanager
def opened_target() -> Iterator[ImportTarget]:
    """The telemetry store and the log of the running system. Raises NoRunningSystem."""
    with opened_stores() as stores:
        yield import_target(stores, command_context(stores))


@telemetry_group.command("import", epilog=EXAMPLE)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--facility",
    "facility_ids",
    multiple=True,
    metavar="ID",
    help="Only this one; may be repeated. Of Green Button XML: whose it is. [default: all]",
)
@click.option(
    "--allow-unknown",
    is_flag=True,
    help="Also store rows of facilities that the portfolio does not have (yet).",
)
@click.option("--dry-run", is_flag=True, help="Say what is in the file, and store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def import_file(
    file: Path, facility_ids: tuple[str, ...], *, allow_unknown: bool, dry_run: bool, as_json: bool
) -> None:
    """Import a CSV, Parquet or Green Button XML FILE of load (and temperature) history.

    Rows are stored in the file's own step. What a meter has said is never overwritten, and the same file again
    changes nothing. What is odd about it (gaps, duplicates, spikes, flat lines, hours of clock changes) is listed.
    """
    try:
        readings = open_readings(file, facility_ids[0] if len(facility_ids) == 1 else None)
        with _in_order(readings, facility_ids, quiet=as_json) as ordered:
            inspected = inspect_readings(readings, ordered)
            run = _Run(ordered, facility_ids or None, inspected, allow_unknown, as_json)
            done = _rehearsed(run) if dry_run else _imported(run)
    except (ReadingsFileError, ReadingsRefused) as error:
        raise click.ClickException(str(error)) from error
    except TelemetryStoreUnavailable as error:
        raise click.ClickException(
            f"{error}; start the system with `gridproof up` and import again: nothing is stored twice"
        ) from error
    _tell(msgspec.structs.replace(done, inspected=inspected), as_json=as_json)


@contextmanager
def _in_order(
    readings: ReadingsFile, facility_ids: tuple[str, ...], *, quiet: bool
) -> Iterator[OrderedReadings]:
    """The file's rows, read once. The progress display ends with the last row."""
    with ExitStack() as until_closed:
        with _reading(quiet=quiet) as on_read:
            ordered = until_closed.enter_context(readings.ordered(facility_ids or None, on_read=on_read))
        yield ordered


class _Run(NamedTuple):
    """A run of the command."""

    ordered: OrderedReadings
    facility_ids: tuple[str, ...] | None
    inspected: Sequence[InspectedFacility]
    allows_unknown: bool
    as_json: bool


def _rehearsed(run: _Run) -> HistoryReport:
    try:
        return check_import(run.ordered, facility_ids=run.facility_ids, admission=_rehearsed_admission(run))
    except ReadingsFileError as error:
        if run.as_json:
            print_json({"dry_run": True, "would_be_refused": str(error), "inspected": run.inspected})
        else:
            _print_findings(run.inspected)
        click.echo(f"the file would be refused: {error}", err=True)
        raise click.exceptions.Exit(WOULD_BE_REFUSED) from error


def _rehearsed_admission(run: _Run) -> Admission:
    """As an import would have it, or without the portfolio where no system answers."""
    from interfaces.bootstrap import machine_time

    try:
        with opened_target() as target:
            unknown = target.unknown_of(run.ordered.facility_ids)
            return Admission(
                target.clock.now(),
                lambda ids: {one: near for one, near in unknown.items() if one in ids},
                run.allows_unknown,
            )
    except Exception as error:
        if to_click_exception(error) is None:
            raise
        click.echo(f"not checked against the portfolio: {error}", err=True)
        return Admission(machine_time(), None)


def _imported(run: _Run) -> HistoryReport:
    try:
        with opened_target() as target, _progress(quiet=run.as_json) as on_progress:
            report = import_history(
                run.ordered,
                target.store,
                facility_ids=run.facility_ids,
                admission=Admission(target.clock.now(), target.unknown_of, run.allows_unknown),
                on_begin=partial(target.record_begin, _sha256(run.ordered.path)),
                on_progress=on_progress,
            )
            target.record_end(report)
            return report
    except ReadingsFileError:
        if not run.as_json:
            _print_findings(run.inspected)
        raise


def _sha256(path: Path) -> str:
    """Taken before the import makes sure that the file is as it was read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableFile(path, None, str(error)) from error


def _tell(report: HistoryReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    _print_findings(report.inspected)
    _print(report)


@contextmanager
def _reading(*, quiet: bool) -> Iterator[OnRead]:
    """Shows the number of rows read so far on stderr. The total is not available in advance."""
    if quiet:
        yield lambda _rows: None
    elif sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("reading") as status:
            yield lambda rows: status.update(f"read {rows:,} rows")
    else:
        yield lambda rows: click.echo(f"read {rows} rows", err=True)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[OnProgress]:
    """Shows progress on stderr: a bar on a terminal, plain lines elsewhere, nothing with --json."""
    if quiet:
        yield lambda _done, _all: None
    elif sys.stderr.isatty():
        with _bar() as on_progress:
            yield on_progress
    else:
        yield lambda done, of: click.echo(f"stored {done} of {of} rows", err=True)


@contextmanager
def _bar() -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("rows", total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _print(report: HistoryReport) -> None:
    for facility in report.facilities:
        period = f"{facility.starts_at:%Y-%m-%d %H:%M} to {facility.ends_at:%Y-%m-%d %H:%M} UTC"
        gaps = f"{facility.missing} missing in {facility.gaps} gaps" if facility.missing else "no gaps"
        click.echo(f"{facility.facility_id}: {facility.rows} rows of {facility.step_s} s, {period}, {gaps}")
    if report.unknown_facilities:
        click.echo(
            f"{len(report.unknown_facilities)} of the {len(report.facilities)} facilities are not in the portfolio: "
            "their rows count in nothing until it has them"
        )
    if report.dry_run:
        click.echo(f"{report.rows} rows; dry run: nothing was stored")
        return
    click.echo(
        f"{report.rows} rows: {report.added} new, {report.changed} corrected, "
        f"{report.unchanged} already stored"
    )


def _print_findings(inspected: Sequence[InspectedFacility]) -> None:
    """Print the findings, if there are any."""
    found = [(one, finding) for one in inspected for finding in one.findings]
    if found:
        print_table(
            ["facility", "what", "from", "to", "line", "found"],
            [(one.facility_id, f.kind, f.starts_at, f.ends_at, f.line, f.detail) for one, f in found],
        )
    for one in inspected:
        if more := sum(one.counts.values()) - len(one.findings):
            click.echo(f"{one.facility_id}: and {more} more; counts: {_counted(one.counts)}")
        if one.qualities:
            click.echo(f"{one.facility_id}: {_counted(one.qualities)}")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
