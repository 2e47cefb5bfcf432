"""`gridproof baseline compute`: computes and explains a baseline from a readings file; needs no running system."""

from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import msgspec

from application.measurement.baseline import ExplainedBaseline, RegressionInputs, explained_baseline
from application.ports.history_import import ReadingsFileError
from domain.baseline import METHODS, BaselineImpossible
from domain.baseline.expected_error import ExpectedError, expected_error
from domain.time_series.windows import InvalidWindow, NotAligned, TimeWindow
from interfaces.cli.baseline.compare import compare
from interfaces.cli.baseline.inputs import (
    calendar_options,
    method_options,
    rule_of,
)
from interfaces.cli.baseline.report import baseline_document, print_baseline
from interfaces.cli.console.parameter_types import moment
from interfaces.cli.console.printing import print_answer
from interfaces.cli.console.readings import open_readings, regression_fitter

EXAMPLE = """
\b
Example:
  gridproof baseline compute --readings load.csv --facility fac-001 --method caiso-10-in-10
    --start 2026-07-14T21:00:00Z --end 2026-07-14T23:00:00Z --event-day 2026-07-10 --json
"""


@click.group("baseline")
def baseline_group() -> None:
    """Baselines: the load of a facility without a DR event."""


baseline_group.add_command(compare)


@baseline_group.command("compute", epilog=EXAMPLE)
@click.option("--readings", required=True, type=click.Path(path_type=Path), help="CSV or Parquet file.")
@click.option("--facility", required=True, help="The facility's id in the file.")
@click.option("--method", required=True, type=click.Choice(list(METHODS)), help="The baseline rule.")
@click.option(
    "--start", required=True, metavar="TIME", type=moment, help="Start of the DR event, ISO 8601 with offset."
)
@click.option(
    "--end", required=True, metavar="TIME", type=moment, help="End of the DR event, ISO 8601 with offset."
)
@calendar_options
@method_options
@click.option(
    "--clip-delivery", is_flag=True, help="Delivery below zero counts as zero, in each interval of the file."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compute(
    *,
    readings: Path,
    facility: str,
    method: str,
    start: datetime,
    end: datetime,
    tz: ZoneInfo | None,
    dr_event_days: tuple[date, ...],
    holidays: tuple[date, ...],
    as_json: bool,
    clip_delivery: bool,
    **parameters: object,
) -> None:
    """Compute the baseline of one DR event and explain where each number comes from."""
    if end <= start:
        raise click.UsageError("--end must be after --start")
    rule = rule_of(method, parameters)
    try:
        file = open_readings(readings)
        rows = file.read([facility])[facility]
        zone = file.time_zones().get(facility) or tz or ZoneInfo("UTC")
        metered, window = rows.load_kw(), TimeWindow(start, end)
        found = explained_baseline(
            rule,
            metered,
            window,
            tz=zone,
            inputs=RegressionInputs(fitter=regression_fitter(), temperatures=rows.temperature_c()),
            dr_event_days=dr_event_days,
            holidays=holidays,
        )
        if clip_delivery:
            found = msgspec.structs.replace(found, baseline=found.baseline.clipped)
        own_error = expected_error(
            rule, metered, window, tz=zone, dr_event_days=dr_event_days, holidays=holidays
        )
    except (ReadingsFileError, BaselineImpossible, NotAligned, InvalidWindow) as error:
        raise click.ClickException(str(error)) from error
    _print(found, own_error, facility=facility, method=method, tz=zone, as_json=as_json)


def _print(
    found: ExplainedBaseline,
    error: ExpectedError | None,
    *,
    facility: str,
    method: str,
    tz: ZoneInfo,
    as_json: bool,
) -> None:
    print_answer(
        baseline_document(found, error, facility=facility, method=method, tz=tz),
        lambda: print_baseline(found, error, facility=facility, method=method, tz=tz),
        as_json=as_json,
    )
