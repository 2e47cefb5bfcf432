"""`gridproof forecast show`, `portfolio` and `accuracy`: forecasts, now or as of then, and accuracy."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from domain.forecast import LOWEST_COVERAGE_PCT, STALE_READING
from interfaces.cli.console.parameter_types import moment
from interfaces.cli.console.printing import print_answer, print_fields, print_json, print_table
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from application.forecast.accuracy import Accuracy
    from application.forecast.documents import ForecastDocument, LeadTimeDocument

SHOW_EXAMPLE = """
\b
Examples:
  gridproof forecast show fac-001
  gridproof forecast show fac-001 --as-of 2026-07-14T17:00:00Z --json
  gridproof forecast show fac-001 --lead-time-h 4 --from 2026-07-14T00:00:00Z --to 2026-07-15T00:00:00Z
"""
ACCURACY_EXAMPLE = """
\b
Examples:
  gridproof forecast accuracy
  gridproof forecast accuracy --facility fac-001 --days 7 --json

Skill is 1 - RMSE / RMSE of the load a week before: below zero, last week's load would have been the better forecast.
"""
PORTFOLIO_EXAMPLE = """
\b
Examples:
  gridproof forecast portfolio
  gridproof forecast portfolio --as-of 2026-07-14T17:00:00Z --json
"""
STEP_COLUMNS = ("starts at", "p10 kW", "p50 kW", "p90 kW")


@click.command("show", epilog=SHOW_EXAMPLE)
@click.argument("facility_id", metavar="FACILITY")
@click.option("--as-of", metavar="TIME", type=moment, help="What was known at that moment. [default: now]")
@click.option(
    "--lead-time-h",
    type=click.FloatRange(0, 48),
    help="Each quarter-hour as foreseen so many hours ahead; with --from and --to.",
)
@click.option("--from", "first", type=moment, metavar="TIME", help="With --lead-time-h.")
@click.option("--to", "last", type=moment, metavar="TIME", help="Not in it any more; at most 7 days on.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(
    facility_id: str,
    *,
    as_of: datetime | None,
    lead_time_h: float | None,
    first: datetime | None,
    last: datetime | None,
    as_json: bool,
) -> None:
    """The forecast of FACILITY, the newest, as of a past moment or by lead time, with the quality of its inputs."""
    if lead_time_h is None and first is None and last is None:
        forecast = _newest(facility_id, as_of)
        print_answer(forecast, lambda: _print_newest(forecast), as_json=as_json)
        return
    if lead_time_h is None or first is None or last is None:
        raise click.UsageError("--lead-time-h, --from and --to go together; give all three")
    ahead = _ahead(facility_id, timedelta(hours=lead_time_h), first, last, as_of)
    print_answer(ahead, lambda: _print_ahead(ahead), as_json=as_json)


@click.command("accuracy", epilog=ACCURACY_EXAMPLE)
@click.option("--facility", "facility_ids", multiple=True, help="Only this one; may be repeated.")
@click.option(
    "--days", type=click.IntRange(1, 97), default=28, show_default=True, help="The last so many UTC days."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def accuracy(*, facility_ids: tuple[str, ...], days: int, as_json: bool) -> None:
    """How forecasts turned out beside the meters, by facility, lead time and quality."""
    from application.forecast.accuracy import facility_accuracies
    from application.ports.operations.unavailable import OperationsUnavailable

    try:
        with opened_stores() as stores:
            last = stores.clock.now().date()
            first = last - timedelta(days=days - 1)
            found = facility_accuracies(stores.forecast_scores(), first, last, facility_ids or None)
    except OperationsUnavailable as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        print_json({"first": first, "last": last, "facilities": found})
        return
    if not found:
        click.echo("nothing is scored yet; the compute worker scores each hour half an hour after its end")
        return
    columns = ("facility", "h ahead", "quality", "quarters", "RMSE kW", "bias kW", "covered %", "skill")
    print_table(columns, [_accuracy_row(one.facility_id, row) for one in found for row in one.accuracy])


@click.command("portfolio", epilog=PORTFOLIO_EXAMPLE)
@click.option("--as-of", metavar="TIME", type=moment, help="What was known at that moment. [default: now]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def portfolio(*, as_of: datetime | None, as_json: bool) -> None:
    """The load of all facilities together, with intervals as wide as their errors went together."""
    from application.forecast.as_of import newest_at
    from application.forecast.portfolio_forecast import (
        NoPortfolioForecast,
        measured_correlations,
        portfolio_forecast,
    )
    from application.ports.event_store.event_store import EventStoreUnavailable
    from application.ports.operations.unavailable import OperationsUnavailable
    from projections.queries.views import all_rows

    try:
        with opened_stores() as stores:
            now = stores.clock.now()
            at = min(as_of or now, now)
            rows = all_rows(stores.read_models().facilities)
            ids = [row.facility_id for row in rows if row.status != "deactivated"]
            states = newest_at(stores.past_forecasts(), ids, at)
            estimates = measured_correlations(stores.forecast_scores(), at.date())
        found = portfolio_forecast(states.values(), ids, estimates, at)
    except (NoPortfolioForecast, EventStoreUnavailable, OperationsUnavailable) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        print_json(found)
        return
    known = [
        f"{one.lead_h} h: {one.correlation:.2f}{'' if one.measured else ' (assumed)'}"
        for one in found.correlations
    ]
    print_fields(
        [
            ("as of", found.as_of),
            ("facilities", found.facilities),
            ("without forecast", found.without_forecast),
            ("count as", [f"{count} {quality}" for quality, count in found.counts_as.items()]),
            ("correlation", known),
        ]
    )
    print_table(
        STEP_COLUMNS, [(step.starts_at, step.kw.p10, step.kw.p50, step.kw.p90) for step in found.steps]
    )


def _accuracy_row(facility_id: str, row: Accuracy) -> tuple[object, ...]:
    skill = "-" if row.skill is None else f"{row.skill:.2f}"
    return (
        facility_id,
        row.lead_h,
        row.data_quality,
        row.quarters,
        row.rmse_kw,
        row.bias_kw,
        row.coverage_pct,
        skill,
    )


def _newest(facility_id: str, as_of: datetime | None) -> ForecastDocument:
    from application.forecast.as_of import newest_at
    from application.forecast.documents import forecast_document
    from application.ports.event_store.event_store import EventStoreUnavailable

    try:
        with opened_stores() as stores:
            now = stores.clock.now()
            at = min(as_of or now, now)
            found = newest_at(stores.past_forecasts(), [facility_id], at)
    except EventStoreUnavailable as error:
        raise click.ClickException(f"{error}; ask again when the database is back") from error
    if facility_id not in found:
        raise click.ClickException(
            f"no forecast was issued for {facility_id} in the two hours before {at.isoformat()}; "
            "see `gridproof facilities list`, and run one with `gridproof forecast run`"
        )
    return forecast_document(found[facility_id], at)


def _ahead(
    facility_id: str, lead_time: timedelta, first: datetime, last: datetime, as_of: datetime | None
) -> LeadTimeDocument:
    from application.forecast.as_of import LeadTimeRefused, by_lead_time
    from application.forecast.documents import lead_time_document
    from application.ports.event_store.event_store import EventStoreUnavailable
    from domain.time_series.windows import InvalidWindow, TimeWindow

    try:
        with opened_stores() as stores:
            now = stores.clock.now()
            at = min(as_of or now, now)
            steps = by_lead_time(stores.past_forecasts(), facility_id, TimeWindow(first, last), lead_time, at)
    except (LeadTimeRefused, InvalidWindow) as error:
        raise click.UsageError(str(error)) from error
    except EventStoreUnavailable as error:
        raise click.ClickException(f"{error}; ask again when the database is back") from error
    return lead_time_document(facility_id, steps, lead_time, at)


def _quality(forecast: ForecastDocument) -> str:
    """Names what is stale where the newest reading is not."""
    is_stale = "stale_data" in forecast.data_quality
    if is_stale and forecast.reading_age_s <= STALE_READING.total_seconds():
        return f"{forecast.data_quality}: readings cover less than {LOWEST_COVERAGE_PCT:g} % of the last day"
    return forecast.data_quality


def _print_newest(forecast: ForecastDocument) -> None:
    weather = "none" if not forecast.weather_available else f"{_hours(forecast.weather_age_s)} old"
    model = forecast.model
    print_fields(
        [
            ("facility", forecast.facility_id),
            ("cycle", forecast.cycle_start),
            ("issued", forecast.issued_at),
            ("as of", forecast.as_of),
            ("quality as issued", _quality(forecast)),
            ("counts as", forecast.counts_as),
            ("weather", weather),
            ("sensor coverage %", forecast.sensor_coverage_pct),
            ("readings left out", forecast.readings_left_out),
            ("newest reading", f"{_hours(forecast.reading_age_s)} before the cycle"),
            ("model", f"{model.name} {model.version}, trained {_hours(model.age_s)} before the cycle"),
        ]
    )
    print_table(
        STEP_COLUMNS, [(step.starts_at, step.kw.p10, step.kw.p50, step.kw.p90) for step in forecast.steps]
    )


def _print_ahead(found: LeadTimeDocument) -> None:
    click.echo(f"{found.facility_id}, foreseen {found.lead_time_h:g} h ahead")
    rows = []
    for step in found.steps:
        kw, forecast = step.kw, step.forecast
        quantiles = (None,) * 3 if kw is None else (kw.p10, kw.p50, kw.p90)
        rows.append(
            (step.starts_at, *quantiles, "no forecast" if forecast is None else forecast.data_quality)
        )
    print_table((*STEP_COLUMNS, "quality"), rows)


def _hours(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 3600:.1f} h"


READS = (show, accuracy, portfolio)
"""Of the group `forecast`."""
