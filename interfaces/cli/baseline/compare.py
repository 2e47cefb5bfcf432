"""`gridproof baseline compare`: the error of baseline methods on days without a DR event; needs no running system."""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from application.measurement.baseline import RegressionInputs
from application.measurement.method_comparison import (
    ComparisonTerms,
    FacilityComparison,
    compared_facility,
)
from application.ports.history_import import FacilityReadings, ReadingsFileError
from domain.baseline import METHODS
from domain.baseline.comparison.days import HISTORY_DAYS, LocalWindow
from domain.time_series.windows import InvalidWindow, NotAligned
from interfaces.cli.baseline.comparison_picture import picture
from interfaces.cli.baseline.comparison_report import comparison_document, print_comparison
from interfaces.cli.baseline.inputs import (
    calendar_options,
    method_options,
    rule_of,
)
from interfaces.cli.console.printing import print_answer, progress_of
from interfaces.cli.console.readings import open_readings, regression_fitter

NEED_PARAMETERS = frozenset({"x-of-y", "firm-service-level"})
"""Methods that are compared only where they are named: without the parameters of a contract they say nothing."""

EXAMPLE = """
\b
Examples:
  gridproof baseline compare --readings load.csv
  gridproof baseline compare --readings load.parquet --facility fac-001 --facility fac-002
    --method caiso-10-in-10 --method mid-8-of-10 --window 14:00-18:00 --picture methods.svg
  gridproof baseline compare --readings load.csv --tz Europe/London --holiday 2026-05-04
    --event-day 2026-07-10 --json
  gridproof baseline compare --readings load.csv --method x-of-y --x 5 --y 10 --pick high --no-cap
"""


def local_window(written: str) -> LocalWindow:
    """A window of the local day, such as 14:00-18:00."""
    try:
        return LocalWindow.parse(written)
    except InvalidWindow as error:
        raise click.BadParameter(str(error)) from None


@click.command("compare", epilog=EXAMPLE)
@click.option("--readings", required=True, type=click.Path(path_type=Path), help="CSV or Parquet file.")
@click.option("--facility", "facility_ids", multiple=True, help="Only this one; may be repeated.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=click.Choice(list(METHODS)),
    help="Only this one; may be repeated. [default: all but x-of-y and firm-service-level]",
)
@click.option(
    "--window",
    metavar="HH:MM-HH:MM",
    type=local_window,
    default="14:00-18:00",
    show_default=True,
    help="The hours of the day that a DR event would have taken, local.",
)
@calendar_options
@click.option(
    "--hot-share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.2,
    show_default=True,
    help="The hottest share of a facility's days, which is scored apart.",
)
@method_options
@click.option(
    "--picture", "picture_path", type=click.Path(path_type=Path), help="Write a chart, one SVG file."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare(
    *,
    readings: Path,
    facility_ids: tuple[str, ...],
    methods: tuple[str, ...],
    window: LocalWindow,
    tz: ZoneInfo | None,
    dr_event_days: tuple[date, ...],
    holidays: tuple[date, ...],
    hot_share: float,
    picture_path: Path | None,
    as_json: bool,
    **parameters: object,
) -> None:
    """Compare the error of baseline methods on a facility's days without a DR event.

    Each weekday that is no event day or holiday, with 45 days before it, is taken as if there had been a DR event
    in the window. Each method computes its baseline from the load before that day and from the day's own load in
    the adjustment window; the error is that baseline minus the metered load.
    """
    chosen = methods or tuple(method for method in METHODS if method not in NEED_PARAMETERS)
    terms = ComparisonTerms(
        window=window,
        rules={method: rule_of(method, parameters) for method in chosen},
        dr_event_days=frozenset(dr_event_days),
        holidays=frozenset(holidays),
        hot_share=hot_share,
    )
    try:
        file = open_readings(readings)
        zones, rows = file.time_zones(), file.read(sorted(set(facility_ids)) or None)
    except ReadingsFileError as error:
        raise click.ClickException(str(error)) from error
    with progress_of(len(rows) * len(terms.rules), "methods of facilities") as show:
        compared, left_out = _compared(
            rows, {one: zones.get(one) or tz or ZoneInfo("UTC") for one in rows}, terms, show
        )
    if not compared:
        reasons = "; ".join(f"{facility_id}: {why}" for facility_id, why in left_out.items())
        raise click.ClickException(f"nothing can be compared: {reasons}")
    document = comparison_document(compared, left_out, window=window)
    if picture_path is not None:
        _write(picture_path, picture(document))
    print_answer(document, lambda: print_comparison(document), as_json=as_json)


def _compared(
    rows: Mapping[str, FacilityReadings],
    zones: Mapping[str, ZoneInfo],
    terms: ComparisonTerms,
    show: Callable[[int], None],
) -> tuple[dict[str, FacilityComparison], dict[str, str]]:
    """The facilities that have a compared day, and the others with the reason."""
    compared: dict[str, FacilityComparison] = {}
    left_out: dict[str, str] = {}
    fitter, done = regression_fitter(), 0

    def on_method() -> None:
        nonlocal done
        done += 1
        show(done)

    for number, (facility_id, readings) in enumerate(rows.items(), start=1):
        inputs = RegressionInputs(fitter=fitter, temperatures=readings.temperature_c())
        try:
            one = compared_facility(
                readings.load_kw(), inputs, zones[facility_id], terms, on_method=on_method
            )
        except NotAligned as error:
            left_out[facility_id] = str(error)
        else:
            if one.days:
                compared[facility_id] = one
            else:
                left_out[facility_id] = (
                    f"no metered weekday without a DR event with {HISTORY_DAYS} days of readings before it"
                )
        done = number * len(terms.rules)
        show(done)
    return compared, left_out


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"the picture cannot be written to {path}: {error.strerror}") from error
