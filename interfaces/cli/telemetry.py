"""`gridproof telemetry import`: history from a file into the running system's telemetry store."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from application.history_import import HistoryReport, OnProgress, import_history
from application.ports.readings_file import ReadingsFile, ReadingsFileError
from application.ports.telemetry_store import ReadingsRefused, TelemetryStore, TelemetryStoreUnavailable
from interfaces.cli.printing import print_json
from interfaces.cli.session import opened_stores

EXAMPLE = """
\b
Examples:
  gridproof telemetry import load.csv
  gridproof telemetry import history.parquet --facility fac-001 --facility fac-002 --json
"""


@click.group("telemetry")
def telemetry_group() -> None:
    """Readings of the meters, and history from files."""


def open_readings(path: Path) -> ReadingsFile:
    """The readings file at `path`; the composition root picks the adapter."""
    from interfaces.bootstrap import open_readings_file

    return open_readings_file(path)


@contextmanager
def opened_store() -> Iterator[TelemetryStore]:
    """The telemetry store of the running system. Raises NoRunningSystem."""
    with opened_stores() as stores:
        yield stores.telemetry()


@telemetry_group.command("import", epilog=EXAMPLE)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--facility",
    "facility_ids",
    multiple=True,
    metavar="ID",
    help="Only this one; may be repeated. [default: all]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def import_file(file: Path, facility_ids: tuple[str, ...], as_json: bool) -> None:
    """Import a CSV or Parquet FILE of load (and temperature) history.

    Rows are stored in the file's own step. What a meter has said is never overwritten, and the same file again
    changes nothing.
    """
    try:
        readings = open_readings(file)
        with opened_store() as store, _progress(quiet=as_json) as on_progress:
            report = import_history(
                readings, store, facility_ids=facility_ids or None, on_progress=on_progress
            )
    except (ReadingsFileError, ReadingsRefused) as error:
        raise click.ClickException(str(error)) from error
    except TelemetryStoreUnavailable as error:
        raise click.ClickException(
            f"{error}; start the system with `gridproof up` and import again: nothing is stored twice"
        ) from error
    if as_json:
        print_json(report)
    else:
        _print(report)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[OnProgress]:
    """A bar on a terminal, plain lines elsewhere, nothing for --json; on stderr, beside the answer."""
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
    click.echo(
        f"{report.rows} rows: {report.added} new, {report.changed} corrected, "
        f"{report.unchanged} already stored"
    )
