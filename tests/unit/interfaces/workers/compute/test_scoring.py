"""The scoring of forecasts: each hour once, also after outages, and the alerts for drift."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from application.ports.forecast.scores import ForecastScore
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.telemetry.store import ImportedIntervals
from domain.time_series.windows import IntervalSeries
from interfaces.workers.compute import scoring
from interfaces.workers.compute.scoring import LONGEST_BACK, ForecastScoring
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.forecast.past_forecasts import FakePastForecasts
from tests.fakes.forecast.scores import FakeForecastScores
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.fakes.weather.temperatures import FakeCellTemperatures
from tests.issued_forecasts import issued_forecast
from tests.patience import ANSWER_S

NOW = datetime(2026, 7, 14, 20, 35, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATEST = NOW.replace(minute=0)

SCORE = ForecastScore(
    facility_id="c",
    lead_h=4,
    data_quality="full",
    quarters=96,
    load_kw=9600.0,
    error_kw=0.0,
    abs_kw=96.0,
    square_kw2=96.0,
    pinball_kw=96.0,
    below=48,
    above=0,
    compared=0,
    compared_square_kw2=0.0,
    naive_square_kw2=0.0,
)


class Scored:
    """Two facilities at a constant 100 kW, forecast as 104 and 96 kW in every hour."""

    def __init__(self, *, days: int = 2) -> None:
        self.clock = FakeClock(NOW)
        self.telemetry = FakeTelemetryStore()
        self.past = FakePastForecasts()
        self.scores = FakeForecastScores()
        self.scores.through = LATEST - 24 * HOUR
        self.alerts = FakeAlertRegistry()
        self.temperatures = FakeCellTemperatures()
        self.draw(100.0, LATEST - timedelta(days=9), 9 * 24)
        for hours_ago in range(days * 24):
            for facility_id, kw in (("a", 104.0), ("b", 96.0)):
                self.past.note(issued_forecast(facility_id, LATEST - HOUR * hours_ago, kw, spread_kw=10.0))
        self.scoring = ForecastScoring(
            facilities=lambda: ["a", "b"],
            telemetry=self.telemetry,
            past=self.past,
            scores=self.scores,
            alerts=self.alerts,
            clock=self.clock,
            temperatures=self.temperatures,
            temperatures_kept=timedelta(days=730),
        )

    def draw(self, kw: float, since: datetime, hours: int, *, every_fifth_kw: float | None = None) -> None:
        count = hours * 4
        load = np.full(2 * count, kw)
        if every_fifth_kw is not None:
            load[::5] = every_fifth_kw
        starts_s = int(since.timestamp()) + 900 * np.arange(count)
        self.telemetry.import_intervals(
            ImportedIntervals(
                ("a", "b"),
                np.repeat([0, 1], count),
                np.tile(starts_s, 2),
                np.full(2 * count, 900),
                load,
                np.full(2 * count, np.nan),
            )
        )

    def all_due(self) -> int:
        hours = 0
        while self.scoring.step():
            hours += 1
        return hours


def test_each_hour_is_scored_once_at_each_lead_time_half_an_hour_after_its_end() -> None:
    there = Scored()
    assert there.all_due() == 24
    assert there.scores.through == LATEST
    today = there.scores.totals(LATEST.date(), LATEST.date(), ["a"])
    assert [(one.lead_h, one.quarters, one.error_kw, one.compared) for one in today] == [
        (lead_h, 80, 320.0, 80) for lead_h in (1, 4, 12, 23)
    ]
    there.clock.advance(minutes=54)
    assert there.all_due() == 0
    there.clock.advance(minutes=1)
    assert there.all_due() == 1


def test_temperatures_of_cells_are_deleted_with_the_rollups_of_telemetry() -> None:
    there = Scored()
    for days in (729, 740):
        began = LATEST.replace(hour=0) - timedelta(days=days)
        there.temperatures.record("la", IntervalSeries(began, 3600, np.array([20.0])), final_until=began)
    there.all_due()
    assert list(there.temperatures.days["la"]) == [(LATEST - timedelta(days=729)).date()]


def test_a_new_system_starts_with_the_last_complete_hour() -> None:
    there = Scored()
    there.scores.through = None
    assert there.all_due() == 1
    assert {score.quarters for _, score in there.scores.kept} == {4}


def test_errors_that_cancel_out_give_a_negative_correlation() -> None:
    there = Scored()
    there.all_due()
    one = there.scores.correlations(LATEST.date(), LATEST.date())[0]
    # Errors of 4 and -4 kW in each of 80 quarter-hours.
    assert (one.lead_h, one.quarters, one.own_kw2, one.pairs_kw2) == (1, 80, 80 * 32.0, -80 * 32.0)


def test_after_a_long_stop_only_the_last_two_days_are_scored() -> None:
    there = Scored()
    there.scores.through = LATEST - timedelta(days=20)
    there.scoring.step()
    assert there.scores.through == LATEST - LONGEST_BACK + HOUR


def test_hours_without_forecasts_are_skipped() -> None:
    there = Scored()
    there.past.recorded.clear()
    assert there.all_due() == 24
    assert there.scores.kept == []


def test_an_hour_scored_by_another_process_is_not_added_again(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Scored()
    record = there.scores.record

    def overtaken(*args: object, **kwargs: object) -> bool:
        there.scores.through = LATEST
        return record(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(there.scores, "record", overtaken)
    assert there.all_due() == 1
    assert there.scores.kept == []


def test_an_hour_is_scored_later_if_the_store_is_unreachable() -> None:
    there = Scored()
    there.scores.available = False
    with pytest.raises(OperationsUnavailable):
        there.scoring.step()
    there.scores.available = True
    assert there.all_due() == 24


def test_a_facility_that_drifts_is_alerted_until_a_day_ends_without_drift() -> None:
    there = Scored()

    def open_alerts() -> list[tuple[str, str]]:
        return [(alert.name, alert.subject) for alert in there.alerts.listed()]

    # One quarter-hour in five is outside its 80 % interval, as expected.
    there.draw(100.0, LATEST - timedelta(days=1), 24 * 4, every_fifth_kw=150.0)
    there.all_due()
    assert open_alerts() == []
    bad = replace(there.scores.kept[0][1], quarters=96, below=60, above=0)
    there.scores.kept += [(LATEST.date() - timedelta(days=n), bad) for n in range(1, 5)]
    there.clock.advance(days=1)
    there.all_due()
    assert open_alerts() == [("forecast_drift", "a")]
    there.scoring.step()  # nothing is due, and the alert is stated again
    assert open_alerts() == [("forecast_drift", "a")]
    there.scores.kept = [(day, score) for day, score in there.scores.kept if score.below == 0]
    there.clock.advance(days=1)
    there.all_due()
    assert open_alerts() == []


def test_a_process_that_takes_over_knows_the_drift_before_an_hour_is_scored() -> None:
    there = Scored()
    there.scores.through = LATEST
    there.scores.kept = [
        (LATEST.date() - timedelta(days=n), replace(SCORE, facility_id="c")) for n in range(1, 5)
    ]
    assert not there.scoring.step()
    assert [alert.subject for alert in there.alerts.listed()] == ["c"]


def test_beyond_the_maximum_number_of_alerts_further_facilities_share_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "MOST_ALERTS", 1)
    there = Scored()
    there.scores.kept = [
        (LATEST.date() - timedelta(days=n), replace(SCORE, facility_id=one))
        for n in range(1, 5)
        for one in "cde"
    ]
    there.scoring.step()
    assert {alert.subject: alert.detail for alert in there.alerts.listed()} == {
        "c": "4 h ahead: the 80 % interval covered 50 % of the last week",
        "others": "2 more facilities; see `gridproof forecast accuracy`",
    }


def test_an_unexpected_error_does_not_end_the_scoring_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there, stop, tries = Scored(), asyncio.Event(), list[int]()

    def fails() -> bool:
        tries.append(1)
        if len(tries) == 2:
            stop.set()
        raise ValueError("of a newer release")

    monkeypatch.setattr(there.scoring, "step", fails)
    monkeypatch.setattr(scoring, "LEAST_WALL_S", 0.0)
    monkeypatch.setattr(there.clock, "speed", 1e6)
    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(there.scoring.run(FakeLocks(), stop), ANSWER_S))
    assert [log["event"] for log in logs] == ["scoring failed; it is tried again"] * 2
