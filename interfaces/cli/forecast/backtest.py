"""`gridproof forecast backtest`: measures the accuracy of forecasts on a readings file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from application.forecast.backtest import (
    GUARDED_WITHIN,
    NAIVE,
    OURS,
    SPANS_H,
    FacilityScore,
    Summary,
    scored,
    summary,
)
from application.forecast.predict_from_file import UnusableStep, check_step
from application.ports.forecast.load_forecaster import FacilityHistory
from application.ports.forecast.rolling_forecasts import BacktestConditions, RollingForecasts
from application.ports.history_import import FacilityReadings, ReadingsFileError
from domain.event_sourcing.decoders import converted
from interfaces.cli.console.parameter_types import country_or_region, time_zone
from interfaces.cli.console.printing import print_answer, print_table
from interfaces.cli.console.readings import open_readings
from interfaces.cli.forecast.backtest_chart import picture

EXAMPLE = """
\b
Examples:
  gridproof forecast backtest --readings load.parquet
  gridproof forecast backtest --readings load.csv --stale-hours 24 --json
  gridproof forecast backtest --readings load.csv --weather none --plot backtest.html
"""


def rolling_forecasts() -> RollingForecasts:
    """Run the compute worker's engine over a history, cycle by cycle."""
    from interfaces.bootstrap import rolling_forecasts as picked

    return picked()


@click.command("backtest", epilog=EXAMPLE)
@click.option("--readings", required=True, type=click.Path(path_type=Path), help="CSV or Parquet file.")
@click.option("--facility", "facility_ids", multiple=True, help="Only this one; may be repeated.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1), help="Try the last N days.")
@click.option(
    "--weather",
    default="forecast",
    show_default=True,
    type=click.Choice(["forecast", "yesterday", "none"]),
    help="What is known ahead: the file's temperatures with errors, those of the day before, nothing.",
)
@click.option(
    "--weather-error",
    default=1.7,
    show_default=True,
    type=click.FloatRange(0),
    help="Standard deviation of the made-up weather forecast's error, K.",
)
@click.option(
    "--stale-hours",
    default=0,
    show_default=True,
    type=click.IntRange(0, 168),
    help="How old the newest reading is at each origin.",
)
@click.option("--tz", type=time_zone, metavar="ZONE", help="Where facilities.csv names none. [default: UTC]")
@click.option(
    "--region",
    type=country_or_region,
    metavar="CC[-RR]",
    help="Whose public holidays are kept, such as US-CA. [default: as the time zone says]",
)
@click.option("--plot", type=click.Path(path_type=Path), help="Write a picture of it, one HTML file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def backtest(
    *,
    readings: Path,
    facility_ids: tuple[str, ...],
    days: int,
    weather: str,
    weather_error: float,
    stale_hours: int,
    tz: ZoneInfo | None,
    region: str | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Forecast 48 h from every local midnight, and score it beside the naive methods.

    Each forecast knows only what was metered before its midnight. A facility is tried from its 120th day on.
    """
    conditions = converted(
        {
            "weather": weather,
            "weather_error_k": weather_error,
            "stale_h": stale_hours,
            "days": days,
        },
        BacktestConditions,
    )
    try:
        file = open_readings(readings)
        zones, found = file.time_zones(), file.read(facility_ids or None)
    except ReadingsFileError as error:
        raise click.ClickException(str(error)) from error
    histories, refused = _histories(found, zones, tz, region)
    by_id = {one.facility_id: one for one in histories}
    scores, runs = [], {}
    for run in rolling_forecasts().runs(histories, conditions):
        scores.append(scored(run, by_id[run.facility_id]))
        runs[run.facility_id] = run
    scores.sort(key=lambda one: one.facility_id)
    tried = {one.facility_id for one in scores if one.spans}
    refused |= {
        one: f"less than {conditions.learn_days} days and a horizon of readings"
        for one in by_id
        if one not in tried
    }
    if not tried:
        reasons = "; ".join(f"{one}: {why}" for one, why in refused.items())
        raise click.ClickException(f"nothing can be tried: {reasons or 'the file holds no facility'}")
    if plot is not None:
        plot.write_text(picture(scores, runs, by_id), encoding="utf-8")
    summaries = {span: summary(scores, span) for span in SPANS_H}
    print_answer(
        {"conditions": conditions, "summary": summaries, "facilities": scores, "refused": refused},
        lambda: _print(scores, summaries, refused),
        as_json=as_json,
    )


def _histories(
    found: Mapping[str, FacilityReadings],
    zones: Mapping[str, ZoneInfo],
    tz: ZoneInfo | None,
    region: str | None,
) -> tuple[list[FacilityHistory], dict[str, str]]:
    histories, refused = [], {}
    for facility_id, one in found.items():
        try:
            check_step(one)
        except UnusableStep as error:
            refused[facility_id] = str(error)
            continue
        histories.append(
            FacilityHistory(
                facility_id=facility_id,
                tz=(zones.get(facility_id) or tz or ZoneInfo("UTC")).key,
                mean_kw=one.load_kw(),
                temp_c=one.temperature_c(),
                region=region,
            )
        )
    return histories, refused


def _print(
    scores: Sequence[FacilityScore], summaries: Mapping[str, Summary], refused: Mapping[str, str]
) -> None:
    print_table(
        (
            "facility",
            "origins",
            "RMSE kW",
            "CVRMSE",
            *(f"/ {name.replace('_', ' ')}" for name in NAIVE),
            "pinball / last week",
            "in 80 %",
        ),
        [_row(one) for one in scores if "day_ahead" in one.spans],
    )
    for span, one in summaries.items():
        click.echo(f"{span.replace('_', ' ')}, geometric means over {one.facilities} facilities:")
        for name, ratio in [*one.rmse_to.items(), ("best naive method", one.rmse_to_best_naive)]:
            click.echo(f"  RMSE / {name.replace('_', ' ')}: {_shown(ratio)}")
        click.echo(f"  CVRMSE: {_shown(one.cvrmse)}")
        click.echo(f"  pinball / last week: {_shown(one.pinball_to_last_week)}")
        click.echo(f"  in the 80 % interval: {_shown(one.coverage_80)}")
        worse = ", ".join(f"{name} {ratio:.2f}" for name, ratio in one.worse_than_best_naive.items())
        click.echo(f"  above {GUARDED_WITHIN} of their best naive method: {worse or 'none'}")
    for facility_id, why in refused.items():
        click.echo(f"{facility_id}: {why}", err=True)
    for score in scores:
        for note in score.notes:
            click.echo(f"{score.facility_id}: {note}", err=True)


def _row(score: FacilityScore) -> tuple[object, ...]:
    span = score.spans["day_ahead"]
    ours = span.methods[OURS]
    return (
        score.facility_id,
        score.origins,
        round(ours.rmse_kw, 2),
        _shown(ours.cvrmse),
        *(_shown(span.ratio(name)) for name in NAIVE),
        _shown(span.ratio("last_week", pinball=True)),
        _shown(span.coverage_80),
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
