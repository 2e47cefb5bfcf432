"""`gridproof forecast`: runs a cycle on the running system, or predicts from a readings file."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from application.forecast.predict_from_file import Prediction, predict_loads
from application.ports.forecast.load_forecaster import LoadForecaster
from application.ports.history_import import FacilityReadings, ReadingsFileError
from interfaces.cli.console.parameter_types import country_or_region, moment, time_zone
from interfaces.cli.console.printing import print_answer, print_fields, print_json, print_table, progress_of
from interfaces.cli.console.readings import open_readings
from interfaces.cli.forecast.backtest import backtest
from interfaces.cli.forecast.reads import READS

RUN_EXAMPLE = """
\b
Examples:
  gridproof forecast run
  gridproof forecast run --facility fac-001 --json
"""
TRAIN_EXAMPLE = """
\b
Examples:
  gridproof forecast train
  gridproof forecast train --facility fac-001 --json
"""
PREDICT_EXAMPLE = """
\b
Examples:
  gridproof forecast predict --readings load.csv --at 2026-07-14T00:00:00Z
  gridproof forecast predict --readings load.parquet --at 2026-07-14T00:00:00Z --facility fac-001 --json
"""

REGION_HELP = "Whose public holidays are kept, such as US-CA. [default: as the time zone says]"


@click.group("forecast")
def forecast_group() -> None:
    """Load forecasts: quarter-hourly, as 10, 50 and 90 % quantiles."""


for read in READS:
    forecast_group.add_command(read)


@forecast_group.command("run", epilog=RUN_EXAMPLE)
@click.option("--facility", "facility_ids", multiple=True, help="Only this one; may be repeated.")
@click.option("--at", metavar="TIME", type=moment, help="The cycle of that moment. [default: now]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def run(*, facility_ids: tuple[str, ...], at: datetime | None, as_json: bool) -> None:
    """A forecast cycle on the running system, as the compute worker makes it.

    A forecast of full quality is not replaced; one of lower quality is replaced by a better one for the same cycle.
    """
    from interfaces.bootstrap import forecast_cycle
    from interfaces.cli.console.session import opened_stores, operator

    with opened_stores() as stores:
        now = stores.clock.now()
        if at is not None and at > now:
            raise click.UsageError(f"--at is in the future; it is {now.isoformat()} now")
        with forecast_cycle(stores) as cycle:
            report = asyncio.run(cycle.run(at=at or now, only=facility_ids or None, actor=operator(stores)))
    if missing := sorted({*facility_ids} - {*report.has_forecast(), *report.refused}):
        raise click.ClickException(
            f"no facility {', '.join(missing)}; see `gridproof facilities list` for those that exist"
        )
    print_answer(
        report,
        lambda: print_fields(
            [
                ("cycle", report.cycle_start),
                ("issued", len(report.issued)),
                ("reissued", len(report.reissued)),
                ("unchanged", len(report.unchanged) + len(report.already_full)),
                ("kept", len(report.kept)),
                ("degraded", [f"{one} {why}" for one, why in report.degraded.items()]),
                ("refused", [f"{one}: {why}" for one, why in report.refused.items()]),
                ("conflicts", report.conflicts),
                ("seconds", report.seconds),
            ]
        ),
        as_json=as_json,
    )
    if not report.has_forecast():
        raise click.ClickException("no facility has a forecast for that cycle; the reasons are above")


@forecast_group.command("train", epilog=TRAIN_EXAMPLE)
@click.option("--facility", "facility_ids", multiple=True, help="Only this one; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def train(*, facility_ids: tuple[str, ...], as_json: bool) -> None:
    """Train the models of the running system now, from the history and the temperatures that there are.

    The compute worker uses them from its next cycle on, within 15 minutes. It trains by itself once a day, and at once
    where weather or temperatures came to a facility without.
    """
    from interfaces.bootstrap import forecast_cycle, weather_problems
    from interfaces.bootstrap.forecast import forecast_sites
    from interfaces.cli.console.session import opened_stores

    with opened_stores() as stores:
        known = {site.facility_id for site in forecast_sites(stores)}
        if missing := sorted({*facility_ids} - known):
            raise click.ClickException(
                f"no facility {', '.join(missing)}; see `gridproof facilities list` for those that exist"
            )
        only = facility_ids or None
        with (
            forecast_cycle(stores) as cycle,
            progress_of(len({*facility_ids} or known), "facilities") as progress,
        ):
            report = asyncio.run(cycle.train(at=stores.clock.now(), only=only, progress=progress))
        problems = weather_problems(stores)
    for problem in problems:
        click.echo(problem, err=True)
    if as_json:
        print_json(report)
    else:
        print_table(
            ("facility", "model", "weather", "history until"),
            [
                (one, found.model, "used" if found.uses_weather else "not used", found.known_until)
                for one, found in report.trained.items()
            ],
        )
        for facility_id, why in report.refused.items():
            click.echo(f"{facility_id}: {why}", err=True)
    if not report.trained:
        raise click.ClickException("no model was trained; the reasons are above")


def load_forecaster() -> LoadForecaster:
    """The forecaster that the compute worker uses."""
    from interfaces.bootstrap import load_forecaster as picked

    return picked()


@forecast_group.command("predict", epilog=PREDICT_EXAMPLE)
@click.option("--readings", required=True, type=click.Path(path_type=Path), help="CSV or Parquet file.")
@click.option(
    "--at", required=True, metavar="TIME", type=moment, help="Only readings before it are used, ISO 8601."
)
@click.option("--facility", "facility_ids", multiple=True, help="Only this one; may be repeated.")
@click.option("--no-weather", is_flag=True, help="Leave the file's temperatures after TIME out.")
@click.option("--tz", type=time_zone, metavar="ZONE", help="Where facilities.csv names none. [default: UTC]")
@click.option("--region", type=country_or_region, metavar="CC[-RR]", help=REGION_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def predict(
    *,
    readings: Path,
    at: datetime,
    facility_ids: tuple[str, ...],
    no_weather: bool,
    tz: ZoneInfo | None,
    region: str | None,
    as_json: bool,
) -> None:
    """Forecast 48 h from a readings file, without a running system.

    The file's temperatures after TIME stand for the weather forecast. Steps are the file's own.
    """
    found: list[FacilityReadings] = []
    zones: dict[str, ZoneInfo] = {}
    try:
        file = open_readings(readings)
        known = file.time_zones()
        for facility_id, one in file.read(facility_ids or None).items():
            zones[facility_id] = known.get(facility_id) or tz or ZoneInfo("UTC")
            found.append(one)
    except ReadingsFileError as error:
        raise click.ClickException(str(error)) from error
    predictions, refused = predict_loads(
        found, load_forecaster(), at=at, zones=zones, with_weather=not no_weather, region=region
    )
    if not predictions:
        reasons = "; ".join(f"{one}: {why}" for one, why in refused.items())
        raise click.ClickException(f"nothing can be predicted: {reasons or 'the file holds no facility'}")
    print_answer(_document(at, predictions), lambda: _print(predictions), as_json=as_json)
    for facility_id, why in refused.items():
        click.echo(f"{facility_id}: {why}", err=True)
    for prediction in predictions:
        for note in prediction.notes:
            click.echo(f"{prediction.facility_id}: {note}", err=True)


def _document(at: datetime, predictions: Sequence[Prediction]) -> dict[str, object]:
    return {
        "issued_at": at,
        "facilities": {
            one.facility_id: {
                "data_quality": one.data_quality,
                "model": one.model,
                "steps": [
                    {
                        "starts_at": step.starts_at,
                        "ends_at": step.ends_at,
                        "kw": {"p10": step.p10_kw, "p50": step.p50_kw, "p90": step.p90_kw},
                    }
                    for step in one.steps
                ],
            }
            for one in predictions
        },
    }


def _print(predictions: Sequence[Prediction]) -> None:
    for prediction in predictions:
        weather = "with weather" if prediction.used_weather else "without weather"
        click.echo(
            f"{prediction.facility_id}: {prediction.model} {weather}, {prediction.data_quality}, {prediction.tz}"
        )
        print_table(
            ("starts at", "p10 kW", "p50 kW", "p90 kW"),
            [(step.starts_at, step.p10_kw, step.p50_kw, step.p90_kw) for step in prediction.steps],
        )


forecast_group.add_command(backtest)
