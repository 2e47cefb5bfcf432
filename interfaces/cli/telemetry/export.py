"""`gridproof telemetry export`: writes a facility's quarter-hours to a readings file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from domain.telemetry.intervals import INTERVAL_S, interval_start
from domain.time_series.windows import TimeWindow
from interfaces.cli.console.atomic_files import FileAlreadyExists, FileNotWritten
from interfaces.cli.console.parameter_types import moment
from interfaces.cli.console.printing import print_answer, progress_of
from interfaces.cli.console.session import opened_stores
from interfaces.cli.telemetry.readings_writer import FORMS, readings_file

if TYPE_CHECKING:
    from application.measurement.regression_source import RegressionSource
    from application.ports.event_store.event_store import EventStore
    from application.ports.telemetry.store import TelemetryStore
    from domain.facility import FacilityState

EXAMPLE = """
\b
Examples:
  gridproof telemetry export fac-001 --from 2026-05-30T00:00:00Z --to 2026-07-15T00:00:00Z --out fac-001.csv
  gridproof telemetry export fac-001 --from 2026-01-01T00:00:00Z --to 2027-01-01T00:00:00Z --out fac-001.parquet

\b
The baseline of a DR event on that day, from the file alone:
  gridproof baseline compute --readings fac-001.csv --facility fac-001 --method caiso-10-in-10
    --tz America/Los_Angeles --start 2026-07-14T21:00:00Z --end 2026-07-14T23:00:00Z --holiday 2026-07-04
"""
DAYS_AT_ONCE = 31
MOST_DAYS = 3_660


@dataclass(frozen=True)
class ExportSources:
    """Where the readings come from."""

    events: EventStore
    telemetry: TelemetryStore
    temperatures: RegressionSource


@contextmanager
def opened_sources() -> Iterator[ExportSources]:
    """The sources of the running system. Raises NoRunningSystem."""
    from interfaces.bootstrap.operations import regression_source

    with opened_stores() as stores:
        yield ExportSources(stores.events, stores.telemetry(), regression_source(stores))


@click.command("export", epilog=EXAMPLE)
@click.argument("facility_id", metavar="FACILITY")
@click.option("--from", "first", required=True, type=moment, metavar="TIME", help="On a quarter-hour, UTC.")
@click.option("--to", "last", required=True, type=moment, metavar="TIME", help="Not in it any more.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="CSV or Parquet, by the name's ending. It must not exist.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(facility_id: str, first: datetime, last: datetime, out: Path, *, as_json: bool) -> None:
    """Write the quarter-hours of FACILITY to a readings file: kWh, and the outdoor temperature where it is known.

    These are the values that measurements use: of the meters, or imported. A quarter-hour without a value is in the
    file with an empty one.
    """
    from application.ports.operations.unavailable import OperationsUnavailable
    from application.ports.telemetry.store import TelemetryStoreUnavailable

    if out.suffix.lower() not in FORMS:
        raise click.UsageError(f"--out {out} ends with neither {' nor '.join(FORMS)}")
    window = _window(first, last)
    try:
        with opened_sources() as sources:
            quarters, known = _exported(sources, facility_id, window, out)
    except (TelemetryStoreUnavailable, OperationsUnavailable) as error:
        raise click.ClickException(f"{error}; export again when the store is back") from error
    except (FileAlreadyExists, FileNotWritten) as error:
        raise click.ClickException(str(error)) from error
    print_answer(
        {"facility_id": facility_id, "file": str(out), "quarter_hours": quarters, "known": known},
        lambda: click.echo(f"{out}: {quarters} quarter-hours of {facility_id}, {known} of them with a value"),
        as_json=as_json,
    )


def _window(first: datetime, last: datetime) -> TimeWindow:
    for name, at in (("--from", first), ("--to", last)):
        if interval_start(at) != at:
            raise click.UsageError(f"{name} {at.isoformat()} is not on a quarter-hour, such as 14:15")
    if not timedelta() < last - first <= timedelta(days=MOST_DAYS):
        raise click.UsageError(f"--to must be after --from, by at most {MOST_DAYS} days")
    return TimeWindow(first, last)


def _exported(sources: ExportSources, facility_id: str, window: TimeWindow, out: Path) -> tuple[int, int]:
    """The number of quarter-hours in the file, and of those with a value."""
    facility = _facility(sources.events, facility_id)
    quarters = known = 0
    total = round(window.duration_s / INTERVAL_S)
    with readings_file(out) as write, progress_of(total, "quarter-hours") as tell:
        for part in _parts(window):
            block = sources.telemetry.interval_series_of([facility_id], part)
            load_kw = block.series(facility_id)
            temperatures = sources.temperatures.inputs_of(block, facility, final_only=False).temperatures
            write(facility_id, load_kw, temperatures.values)
            quarters += len(load_kw.values)
            known += int(np.count_nonzero(~np.isnan(load_kw.values)))
            tell(quarters)
    return quarters, known


def _parts(window: TimeWindow) -> Iterator[TimeWindow]:
    """Pieces of DAYS_AT_ONCE, so that memory does not grow with the window."""
    starts_at = window.starts_at
    while starts_at < window.ends_at:
        ends_at = min(starts_at + timedelta(days=DAYS_AT_ONCE), window.ends_at)
        yield TimeWindow(starts_at, ends_at)
        starts_at = ends_at


def _facility(events: EventStore, facility_id: str) -> FacilityState:
    from application.ports.event_store.event_store import StreamNotFound
    from domain.facility import Facility
    from domain.identifiers import facility_stream_id

    try:
        return events.load(Facility, facility_stream_id(facility_id)).state
    except StreamNotFound:
        raise click.ClickException(
            f"there is no facility {facility_id}; `gridproof facilities list` shows them"
        ) from None
