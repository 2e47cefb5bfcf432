"""`gridproof baseline compute`: computes and explains a baseline from a readings file; needs no running system."""

from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import msgspec

from application.measurement.baseline import ExplainedBaseline, RegressionInputs, explained_baseline
from application.ports.history_import import ReadingsFile, ReadingsFileError
from application.ports.regression_fitter import RegressionFitter
from domain.baseline import (
    METHODS,
    BaselineImpossible,
    BaselineParameters,
    InvalidBaselineRule,
    rule_named,
)
from domain.baseline.expected_error import ExpectedError, expected_error
from domain.time_series.windows import InvalidWindow, NotAligned, TimeWindow
from interfaces.cli.baseline.report import baseline_document, print_baseline
from interfaces.cli.console.parameter_types import day, moment, time_zone
from interfaces.cli.console.printing import print_json

EXAMPLE = """
\b
Example:
  gridproof baseline compute --readings load.csv --facility fac-001 --method caiso-10-in-10
    --start 2026-07-14T21:00:00Z --end 2026-07-14T23:00:00Z --event-day 2026-07-10 --json
"""


@click.group("baseline")
def baseline_group() -> None:
    """What a facility would have drawn without a DR event."""


def open_readings(path: Path) -> ReadingsFile:
    """The readings file at `path`; the composition root picks the adapter."""
    from interfaces.bootstrap import open_readings_file

    return open_readings_file(path)


def regression_fitter() -> RegressionFitter:
    """The fitter of `regression`; the composition root picks the adapter."""
    from interfaces.bootstrap import regression_fitter as picked

    return picked()


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
@click.option(
    "--tz",
    metavar="ZONE",
    type=time_zone,
    help="IANA time zone where facilities.csv gives none. [default: UTC]",
)
@click.option(
    "--event-day",
    "dr_event_days",
    multiple=True,
    metavar="DAY",
    type=day,
    help="A local day with a DR event.",
)
@click.option("--holiday", "holidays", multiple=True, metavar="DAY", type=day, help="A local holiday.")
@click.option("--x", type=int, default=5, show_default=True, help="x-of-y: days that count.")
@click.option("--y", type=int, default=10, show_default=True, help="x-of-y: days looked at.")
@click.option(
    "--pick",
    type=click.Choice(["high", "mid", "low"]),
    default="high",
    show_default=True,
    help="x-of-y: which.",
)
@click.option(
    "--adjustment",
    type=click.Choice(["none", "multiplicative", "additive"]),
    default="multiplicative",
    show_default=True,
    help="x-of-y: the in-day adjustment.",
)
@click.option(
    "--cap", type=float, default=0.2, show_default=True, help="x-of-y: bound of the adjustment, 0..1."
)
@click.option("--no-cap", is_flag=True, help="x-of-y: no bound.")
@click.option(
    "--adjustment-from-s",
    type=int,
    default=4 * 3600,
    show_default=True,
    help="x-of-y: seconds before the start at which the hours of the adjustment begin.",
)
@click.option(
    "--adjustment-until-s",
    type=int,
    default=3600,
    show_default=True,
    help="x-of-y: seconds before the start at which they end.",
)
@click.option("--upward-only", is_flag=True, help="x-of-y: never adjust downwards.")
@click.option("--before-s", type=int, default=3600, show_default=True, help="meter-before: seconds before.")
@click.option("--level-kw", type=float, help="firm-service-level: the contracted level.")
@click.option(
    "--lookback-days",
    type=int,
    default=70,
    show_default=True,
    help="regression: days of load and temp_c before the DR event's day that it is fitted to, 28..400.",
)
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
    no_cap: bool,
    clip_delivery: bool,
    **parameters: object,
) -> None:
    """Compute the baseline of one DR event and explain where each number comes from."""
    if end <= start:
        raise click.UsageError("--end must be after --start")
    if no_cap:
        parameters["cap"] = None
    try:
        rule = rule_named(method, msgspec.convert(parameters, BaselineParameters))
    except InvalidBaselineRule as error:
        raise click.UsageError(str(error)) from error
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
    if as_json:
        document = baseline_document(found, error, facility=facility, method=method, tz=tz)
        print_json(document)
    else:
        print_baseline(found, error, facility=facility, method=method, tz=tz)
