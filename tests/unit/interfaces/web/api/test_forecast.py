"""Forecasts over HTTP: the newest one, past ones by `as_of` and by lead time, and their accuracy."""

from datetime import timedelta
from typing import Any

import pytest

from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.forecast.scores import ForecastScore
from domain.forecast import CYCLE
from projections.facility import FacilityRow, key_of
from tests.fakes.forecast.past_forecasts import FakePastForecasts
from tests.fakes.forecast.scores import FakeForecastScores
from tests.issued_forecasts import CYCLE_START, issued_forecast, reissued
from tests.unit.interfaces.web.edge import NOW, Edge, codes_of, problem_of

AT = CYCLE_START + timedelta(minutes=10)
FORECAST = "/api/facilities/fac-001/forecast"

SCORE = ForecastScore(
    facility_id="fac-001",
    lead_h=4,
    data_quality="full",
    quarters=4,
    load_kw=400.0,
    error_kw=8.0,
    abs_kw=8.0,
    square_kw2=16.0,
    pinball_kw=2.0,
    below=1,
    above=0,
    compared=4,
    compared_square_kw2=16.0,
    naive_square_kw2=64.0,
)


class Foreseen:
    """One facility behind an edge, and the forecasts that the test issues."""

    def __init__(self) -> None:
        self.past = FakePastForecasts()
        self.scores = FakeForecastScores()
        self.edge = Edge(others={"past_forecasts": self.past, "forecast_scores": self.scores})
        self.edge.clock.moment = AT
        self.edge.read_models.facilities.rows = {
            key_of("fac-001"): FacilityRow(
                facility_id="fac-001",
                tz="UTC",
                latitude=0.0,
                longitude=0.0,
                weather_cell="default",
                status="active",
                registered_at=NOW,
                changed_at=NOW,
            )
        }
        self.key = self.edge.key("dashboard")

    def issue(self, cycles_ago: int, kw: float, *, full: bool = True) -> None:
        self.past.note(issued_forecast("fac-001", CYCLE_START - CYCLE * cycles_ago, kw, full=full))

    def get(self, query: str = "", path: str = FORECAST) -> Any:
        with self.edge.client() as client:
            return client.get(path + query, headers=self.key)

    def document(self, query: str = "") -> dict[str, Any]:
        answer = self.get(query)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document


def test_the_newest_forecast_has_its_steps_and_the_quality_of_its_inputs() -> None:
    foreseen = Foreseen()
    foreseen.issue(1, 90.0)
    foreseen.issue(0, 100.0)
    document = foreseen.document()
    steps = document.pop("steps")
    assert len(steps) == 96
    assert steps[1] == {
        "starts_at": "2026-07-14T20:15:00Z",
        "ends_at": "2026-07-14T20:30:00Z",
        "kw": {"p10": 99.0, "p50": 100.0, "p90": 101.0},
    }
    assert document.pop("forecast_id")
    assert document == {
        "facility_id": "fac-001",
        "cycle_start": "2026-07-14T20:00:00Z",
        "issued_at": "2026-07-14T20:00:30Z",
        "as_of": "2026-07-14T20:10:00Z",
        "age_s": 570.0,
        "stale": False,
        "data_quality": "full",
        "counts_as": "full",
        "weather_available": True,
        "weather_age_s": 1800.0,
        "sensor_coverage_pct": 100.0,
        "readings_left_out": 0,
        "newest_reading_at": "2026-07-14T19:50:00Z",
        "reading_age_s": 600.0,
        "model": {"name": "towt", "version": "1", "trained_at": "2026-07-14T14:00:00Z", "age_s": 21600.0},
        "step_s": 900,
    }


def test_a_forecast_older_than_two_cycles_counts_as_degraded() -> None:
    foreseen = Foreseen()
    foreseen.issue(3, 90.0)
    document = foreseen.document()
    assert (document["data_quality"], document["counts_as"]) == ("full", "degraded_stale_data")
    assert document["stale"]


@pytest.mark.parametrize(
    ("as_of", "kw"), [("19:59:00Z", 90.0), ("20:01:00Z", 100.0), ("22:05:00%2B02:00", 110.0)]
)
def test_as_of_a_time_the_forecast_is_the_newest_issued_by_then(as_of: str, kw: float) -> None:
    foreseen = Foreseen()
    foreseen.issue(1, 90.0)
    newest = issued_forecast("fac-001", CYCLE_START, 100.0, full=False)
    foreseen.past.note(newest)
    reissued(newest, 110.0, at=CYCLE_START + timedelta(minutes=3))
    foreseen.past.note(newest)
    assert foreseen.document(f"?as_of=2026-07-14T{as_of}")["steps"][0]["kw"]["p50"] == kw


def test_a_future_as_of_is_treated_as_now() -> None:
    foreseen = Foreseen()
    foreseen.issue(0, 100.0)
    assert foreseen.document("?as_of=2030-01-01T00:00:00Z")["as_of"] == "2026-07-14T20:10:00Z"


def test_by_lead_time_each_quarter_hour_comes_from_the_cycle_issued_that_long_before() -> None:
    foreseen = Foreseen()
    for cycles_ago in (4, 3, 1):
        foreseen.issue(cycles_ago, 100.0 - cycles_ago)
    window = "&from=2026-07-14T20:00:00Z&to=2026-07-14T21:00:00Z"
    document = foreseen.document("?lead_time_h=1" + window)
    assert (document["lead_time_h"], document["step_s"]) == (1.0, 900)
    seen = [
        (step["kw"] and step["kw"]["p50"], step["forecast"] and step["forecast"]["data_quality"])
        for step in document["steps"]
    ]
    assert seen == [(96.0, "full"), (97.0, "full"), (None, None), (99.0, "full")]
    assert document["steps"][0]["forecast"]["cycle_start"] == "2026-07-14T19:00:00Z"
    beyond = foreseen.document("?lead_time_h=24" + window)
    assert {step["kw"] is None for step in beyond["steps"]} == {True}


def test_by_lead_time_a_forecast_issued_after_the_quarter_hour_began_is_ignored() -> None:
    """`forecast run --at` issues such a forecast for a missed cycle."""
    foreseen = Foreseen()
    late = issued_forecast("fac-001", CYCLE_START - CYCLE * 4, 100.0, full=False)
    reissued(late, 120.0, at=CYCLE_START + timedelta(minutes=1))
    foreseen.past.note(late)
    foreseen.issue(0, 200.0)
    window = "&from=2026-07-14T20:00:00Z&to=2026-07-14T20:15:00Z"
    (an_hour_ago,) = foreseen.document("?lead_time_h=1" + window)["steps"]
    (just_now,) = foreseen.document("?lead_time_h=0" + window)["steps"]
    assert (an_hour_ago["kw"], just_now["kw"]["p50"]) == (None, 200.0)


@pytest.mark.parametrize(
    "query",
    [
        "?as_of=2026-07-14T20:00:00",
        "?as_of=0001-01-01T00:00:00%2B23:00",
        "?from=2026-07-14T20:00:00Z",
        "?lead_time_h=4",
        "?lead_time_h=0.1&from=2026-07-14T20:00:00Z&to=2026-07-14T21:00:00Z",
        "?lead_time_h=nan&from=2026-07-14T20:00:00Z&to=2026-07-14T21:00:00Z",
        "?lead_time_h=49&from=2026-07-14T20:00:00Z&to=2026-07-14T21:00:00Z",
        "?lead_time_h=4&from=2026-07-14T20:01:00Z&to=2026-07-14T21:01:00Z",
        "?lead_time_h=4&from=2026-07-14T20:00:00Z&to=2026-07-22T20:00:00Z",
        "?lead_time_h=4&from=2026-07-14T20:00:00Z&to=2026-07-14T20:00:00Z",
    ],
)
def test_an_invalid_query_is_refused_and_nothing_is_read(query: str) -> None:
    foreseen = Foreseen()
    assert problem_of(foreseen.get(query))["status"] == 400
    assert foreseen.past.asked == []


def test_a_missing_forecast_gives_404_with_instructions() -> None:
    foreseen = Foreseen()
    foreseen.issue(9, 100.0)
    document = problem_of(foreseen.get())
    assert (document["status"], codes_of(document)) == (404, ["not_found"])
    assert "compute worker" in document["detail"]


def test_an_as_of_before_the_first_forecast_gives_404() -> None:
    foreseen = Foreseen()
    assert problem_of(foreseen.get("?as_of=0001-01-01T00:00:00Z"))["status"] == 404
    assert (
        problem_of(foreseen.get("?as_of=0001-01-01T00:00:00Z", path="/api/portfolio/forecast"))["status"]
        == 404
    )


def test_a_facility_that_is_unknown_or_of_another_key_gives_404() -> None:
    foreseen = Foreseen()
    foreseen.issue(0, 100.0)
    assert problem_of(foreseen.get(path="/api/facilities/fac-002/forecast"))["status"] == 404
    foreseen.key = foreseen.edge.key("dashboard", facility="fac-002")
    assert problem_of(foreseen.get())["status"] == 404
    foreseen.key = foreseen.edge.key("dashboard", facility="fac-001")
    assert foreseen.get().status_code == 200


def test_an_unreachable_event_store_gives_503(monkeypatch: pytest.MonkeyPatch) -> None:
    foreseen = Foreseen()

    def away(*_: object, **__: object) -> None:
        raise EventStoreUnavailable("away")

    monkeypatch.setattr(foreseen.past, "in_force", away)
    answer = foreseen.get()
    assert problem_of(answer)["status"] == 503
    assert answer.headers["retry-after"]


def test_accuracy_is_listed_by_lead_time_and_is_empty_before_the_first_score() -> None:
    foreseen = Foreseen()
    path = f"{FORECAST}/accuracy"
    assert foreseen.get(path=path).json() == {
        "facility_id": "fac-001",
        "first": "2026-06-17",
        "last": "2026-07-14",
        "accuracy": [],
    }
    foreseen.scores.kept.append((AT.date(), SCORE))
    (everything, full) = foreseen.get("?days=1", path=path).json()["accuracy"]
    assert (everything["data_quality"], full["data_quality"]) == ("all", "full")
    assert (full["lead_h"], full["rmse_kw"], full["coverage_pct"], full["skill"]) == (4, 2.0, 75.0, 0.5)
    assert problem_of(foreseen.get("?days=98", path=path))["status"] == 400
    assert problem_of(foreseen.get(path="/api/facilities/fac-002/forecast/accuracy"))["status"] == 404


def test_the_portfolio_forecast_counts_facilities_without_a_forecast() -> None:
    foreseen = Foreseen()
    path = "/api/portfolio/forecast"
    assert problem_of(foreseen.get(path=path))["status"] == 404
    foreseen.issue(0, 100.0)
    document = foreseen.get(path=path).json()
    assert (document["facilities"], document["without_forecast"], document["counts_as"]) == (
        1,
        0,
        {"full": 1},
    )
    assert document["steps"][0]["kw"] == {"p10": 99.0, "p50": 100.0, "p90": 101.0}
    assert {one["measured"] for one in document["correlations"]} == {False}
    assert problem_of(foreseen.get("?as_of=2026-07-14T19:00:00Z", path=path))["status"] == 404
