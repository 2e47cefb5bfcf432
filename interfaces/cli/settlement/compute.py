"""`gridproof settlement compute`: settlements from files; needs no running system."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

import click

from application.ports.history_import import ReadingsFileError
from application.settlement.offline import OfflineReadings, OfflineSettlement, computed_settlements
from application.settlement.offline_files import (
    MOST_BYTES,
    MOST_EARLIER_BYTES,
    SettlementRefused,
    read_earlier,
    read_event,
    read_program,
)
from application.settlement.shapes import ComputedSettlements, EventInputs
from domain.settlement.period import InvalidPeriod, period_named
from interfaces.cli.console.parameter_types import moment, time_zone
from interfaces.cli.console.printing import print_answer, progress_of
from interfaces.cli.console.readings import open_readings, regression_fitter
from interfaces.cli.settlement.report import print_settlements

EXAMPLE = """
\b
Examples:
  gridproof settlement compute --readings readings.csv --program program.json --event event.json
  gridproof settlement compute --readings readings.csv --program program.json --event first.json --event second.json
    --period 2026-07 --json
  gridproof settlement compute --readings corrected.csv --program program.json --event event.json
    --previous settlement.json --at 2026-08-01T00:00:00Z

docs/guides/settlement.md shows both files. Exit status: 0 computed, also where it is not settled; 1 refused, with
{"error": CODE, "detail": ...} on stderr; 2 wrong usage. CODE: schema, price_missing, unknown_kind, deadline.
"""
MOST_EVENTS = 1_000
LONG_WORK = 500
"""Facilities from which on progress is shown."""
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class RefusedSettlement(click.ClickException):
    """Shown on stderr as `{"error": CODE, "detail": ...}`."""

    exit_code = 1

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code

    def show(self, file: IO[Any] | None = None) -> None:
        written = json.dumps({"error": self.code, "detail": self.message}, ensure_ascii=False)
        click.echo(written, file=file, err=file is None)


def _period(_: click.Context, __: click.Parameter, written: str | None) -> str | None:
    if written is not None:
        try:
            period_named(written)
        except InvalidPeriod as error:
            raise click.BadParameter(str(error)) from None
    return written


@click.command("compute", epilog=EXAMPLE)
@click.option("--readings", required=True, type=FILE, help="CSV or Parquet file, as of `baseline compute`.")
@click.option("--program", required=True, type=FILE, help="The program's version: program.json.")
@click.option(
    "--event", "events", required=True, multiple=True, type=FILE, help="A DR event as it ended: event.json."
)
@click.option(
    "--period",
    metavar="MONTH",
    callback=_period,
    help="Also the capacity of 2026-07, or of the season 2026-06/2026-09.",
)
@click.option(
    "--tz",
    metavar="ZONE",
    type=time_zone,
    help="IANA time zone where neither event.json nor facilities.csv gives one. [default: UTC]",
)
@click.option(
    "--previous", type=FILE, help="An earlier result of this command: the next revision, with its reasons."
)
@click.option(
    "--at",
    metavar="TIME",
    type=moment,
    help="Refuse a revision after the deadline of the rule, at that moment.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compute(
    *,
    readings: Path,
    program: Path,
    events: tuple[Path, ...],
    period: str | None,
    tz: ZoneInfo | None,
    previous: Path | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Settle DR events from files, and explain every amount."""
    if len(events) > MOST_EVENTS:
        raise click.UsageError(f"at most {MOST_EVENTS} DR events are settled at once, got {len(events)}")
    try:
        file = open_readings(readings)
        zones = file.time_zones()
        default = (tz or ZoneInfo("UTC")).key

        def tz_of(facility_id: str) -> str:
            zone = zones.get(facility_id)
            return default if zone is None else zone.key

        agreed = read_program(_content(program, MOST_BYTES))
        dr_events = _read_events(events, tz_of)
        earlier = {} if previous is None else read_earlier(_content(previous, MOST_EARLIER_BYTES))
        found = _computed(
            OfflineSettlement(
                program=agreed,
                readings=OfflineReadings(file, sorted(_facility_ids(dr_events))),
                fitter=regression_fitter(),
                earlier=earlier,
                at=at,
            ),
            dr_events,
            period,
        )
    except SettlementRefused as error:
        raise RefusedSettlement(error.code, error.detail) from error
    except ReadingsFileError as error:
        raise RefusedSettlement("schema", str(error)) from error
    print_answer(found, lambda: print_settlements(found), as_json=as_json)


def _content(path: Path, most_bytes: int) -> bytes:
    """The file's bytes: one more than are read, so that its reader sees that it is too large."""
    with path.open("rb") as file:
        return file.read(most_bytes + 1)


def _read_events(paths: Iterable[Path], tz_of: Callable[[str], str]) -> list[EventInputs]:
    found = []
    for path in paths:
        try:
            found.append(read_event(_content(path, MOST_BYTES), tz_of=tz_of))
        except SettlementRefused as error:
            raise SettlementRefused(error.code, f"{path}: {error.detail}") from error
    return found


def _facility_ids(dr_events: Iterable[EventInputs]) -> set[str]:
    return {facility.facility_id for dr_event in dr_events for facility in dr_event.facilities}


def _computed(
    offline: OfflineSettlement, dr_events: list[EventInputs], period: str | None
) -> ComputedSettlements:
    total, done = sum(len(one.facilities) for one in dr_events), 0
    if total < LONG_WORK:  # stderr is then the error alone
        return computed_settlements(offline, dr_events, period=period)
    with progress_of(total, "settling") as show:

        def on_facility() -> None:
            nonlocal done
            done += 1
            show(done)

        return computed_settlements(offline, dr_events, period=period, on_facility=on_facility)
