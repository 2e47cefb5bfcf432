"""`gridproof telemetry history`: prints a facility's load per step from the telemetry store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import isnan
from typing import TYPE_CHECKING

import click

from interfaces.cli.console.parameter_types import moment
from interfaces.cli.console.printing import print_answer, print_table
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from application.telemetry.load_history import HistorySources
    from domain.telemetry.load_history import LoadHistory

EXAMPLE = """
\b
Examples:
  gridproof telemetry history fac-001 --from 2026-07-14T20:00:00Z --to 2026-07-14T21:00:00Z
  gridproof telemetry history fac-001 --from 2026-07-14T20:00:00Z --to 2026-07-14T20:10:00Z --resolution 15s --json

15s is out of single readings, for at most a day at once; 1m for 31 days, 15m and 1h for 92. What is not known is empty.
"""
RESOLUTIONS = {"15s": 15, "1m": 60, "15m": 900, "1h": 3_600}
COLUMNS = ("mean_kw", "kwh", "min_kw", "max_kw", "coverage_pct")


@contextmanager
def opened_sources() -> Iterator[HistorySources]:
    """The telemetry of the running system. Raises NoRunningSystem."""
    from application.telemetry.load_history import HistorySources

    with opened_stores() as stores:
        yield HistorySources(stores.telemetry(), stores.rollups(), stores.meter_powers())


@click.command("history", epilog=EXAMPLE)
@click.argument("facility_id", metavar="FACILITY")
@click.option("--from", "first", required=True, type=moment, metavar="TIME", help="With its UTC offset.")
@click.option("--to", "last", required=True, type=moment, metavar="TIME", help="Not in it any more.")
@click.option(
    "--resolution",
    type=click.Choice(list(RESOLUTIONS)),
    default="15m",
    show_default=True,
    help="Length of a step.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def history(facility_id: str, first: datetime, last: datetime, resolution: str, *, as_json: bool) -> None:
    """The load of FACILITY: mean, energy, extremes and coverage of each step."""
    from application.ports.telemetry.store import TelemetryStoreUnavailable
    from application.telemetry.load_history import HistoryTooLong, load_histories
    from domain.time_series.windows import InvalidWindow, NotAligned, TimeWindow

    try:
        window, step_s = TimeWindow(first, last), RESOLUTIONS[resolution]
        with opened_sources() as sources:
            found = load_histories(sources, [facility_id], window, step_s)[facility_id]
    except (HistoryTooLong, InvalidWindow, NotAligned) as error:
        raise click.UsageError(str(error)) from error
    except TelemetryStoreUnavailable as error:
        raise click.ClickException(f"{error}; ask again when the store is back") from error
    rows = _rows(found)
    steps = [dict(zip(("starts_at", *COLUMNS), row, strict=True)) for row in rows]
    print_answer(
        {"facility_id": facility_id, "step_s": found.step_s, "steps": steps},
        lambda: print_table(["starts at", "kW", "kWh", "min kW", "max kW", "covered %"], map(_cells, rows)),
        as_json=as_json,
    )


Row = tuple[datetime, float | None, float | None, float | None, float | None, float | None]


def _rows(found: LoadHistory) -> list[Row]:
    columns = [
        [None if isnan(value) else value for value in getattr(found, name).tolist()] for name in COLUMNS
    ]
    starts = (found.starts_at + timedelta(seconds=found.step_s * n) for n in range(len(columns[0])))
    return list(zip(starts, *columns, strict=True))


def _cells(row: Row) -> tuple[str, ...]:
    starts_at, *values = row
    return f"{starts_at:%Y-%m-%dT%H:%M:%SZ}", *("" if value is None else f"{value:.3f}" for value in values)
