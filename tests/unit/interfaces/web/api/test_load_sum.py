"""Sums of facility loads: the number of facilities without readings, and the load of a DR event as of a time."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.telemetry.meter_reading import MeterReading
from interfaces.web.api.dr_event import load
from interfaces.web.api.telemetry import load_sum
from projections.dr_event.projection import DREventRow
from projections.dr_event.projection import key_of as dr_event_key
from projections.facility import key_of
from tests.fakes.forecast.past_forecasts import FakePastForecasts
from tests.fakes.forecast.scores import FakeForecastScores
from tests.fakes.stream_log import FakeStreamLog
from tests.fakes.telemetry.meter_powers import FakeMeterPowers
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.issued_forecasts import CYCLE_START, issued_forecast
from tests.unit.interfaces.web.api.test_reads import facility
from tests.unit.interfaces.web.edge import Edge, codes_of, problem_of

AT = CYCLE_START + timedelta(minutes=10)
DR_EVENT = UUID(int=7)


class Watched:
    """Two facilities: one draws 12 kW in the last hour, the other 20 kW in the second half of it."""

    def __init__(self) -> None:
        store, past = FakeTelemetryStore(), FakePastForecasts()
        self.edge = Edge()
        self.edge.clock.moment = AT
        self.edge.others = {
            "telemetry": store,
            "rollups": FakeTelemetryRollups(store, self.edge.clock),
            "meter_powers": FakeMeterPowers(store),
            "past_forecasts": past,
            "forecast_scores": FakeForecastScores(),
            "stream_log": FakeStreamLog(),
        }
        store.write_readings(0, 1, [*_drawing("fac-001", 12.0, 60), *_drawing("fac-002", 20.0, 30)])
        for facility_id, kw in (("fac-001", 11.0), ("fac-002", 19.0)):
            past.note(issued_forecast(facility_id, CYCLE_START, kw))
        models = self.edge.read_models
        models.facilities.rows = {key_of(one): facility(one) for one in ("fac-001", "fac-002")}
        models.dr_events.rows = {dr_event_key(DR_EVENT): _dr_event()}
        self.key = self.edge.key("dashboard")

    def get(self, path: str) -> dict[str, Any]:
        with self.edge.client() as client:
            answer = client.get(path, headers=self.key)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document


def _drawing(facility_id: str, kw: float, minutes: int) -> list[MeterReading]:
    seconds = range(15, minutes * 60 + 15, 15)
    return [MeterReading(facility_id, "m", CYCLE_START - timedelta(seconds=s), kw, None) for s in seconds]


def _dr_event() -> DREventRow:
    return DREventRow(
        dr_event_id=DR_EVENT,
        utility_id="util-1",
        utility_event_id="UTIL-1",
        status="scheduled",
        starts_at=CYCLE_START + timedelta(hours=1),
        ends_at=CYCLE_START + timedelta(hours=2),
        facility_ids=("fac-001", "fac-002"),
        opened_at=AT,
        accepted_at=AT,
        scheduled_at=AT,
        changed_at=AT,
        correlation_id=UUID(int=1),
        trace_id="0" * 32,
        domain_events=1,
    )


def test_a_sum_reports_how_many_facilities_have_no_reading() -> None:
    document = Watched().get("/api/portfolio/load?hours=1")
    assert document["facilities"] == 2
    assert [(step["kw"], step["missing"]) for step in document["steps"]] == [
        (12.0, 1),
        (12.0, 1),
        (32.0, 0),
        (32.0, 0),
    ]


def test_the_load_of_a_dr_event_has_steps_of_a_minute_and_the_forecast_of_its_facilities() -> None:
    document = Watched().get(f"/api/dr-events/{DR_EVENT}/load")
    assert (document["step_s"], document["facilities"], document["measured"]) == (60, 2, [])
    assert document["starts_at"] == "2026-07-14T19:30:00Z"
    known = {step["starts_at"]: step["kw"] for step in document["steps"]}
    assert known["2026-07-14T19:45:00Z"] == 32.0
    first = document["forecast"][0]
    assert first["starts_at"] == "2026-07-14T20:00:00Z"
    assert first["kw"]["p50"] == 30.0
    assert first["kw"]["p10"] < 30.0 < first["kw"]["p90"]
    assert document["forecast"][-1]["ends_at"] <= document["ends_at"]


def test_steps_that_have_not_ended_are_omitted() -> None:
    watched = Watched()
    last = watched.get(f"/api/dr-events/{DR_EVENT}/load")["steps"][-1]
    assert datetime.fromisoformat(last["starts_at"]) == AT - timedelta(minutes=1)
    watched.edge.clock.moment = AT - timedelta(hours=1)
    assert watched.get(f"/api/dr-events/{DR_EVENT}/load")["steps"] == []


def test_each_page_of_the_portfolio_load_sums_its_own_facilities() -> None:
    watched = Watched()
    first = watched.get("/api/portfolio/load?hours=1&limit=1")
    second = watched.get(f"/api/portfolio/load?hours=1&limit=1&cursor={first['next_cursor']}")
    assert (first["facilities"], second["facilities"], second["next_cursor"]) == (1, 1, None)
    assert [step["kw"] for step in first["steps"]] == [12.0] * 4
    assert [step["kw"] for step in second["steps"]] == [None, None, 20.0, 20.0]


def test_a_sum_over_too_many_facilities_is_refused_with_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_sum, "MOST_FACILITIES", 1)
    watched = Watched()
    with watched.edge.client() as client:
        refused = client.get("/api/portfolio/load", headers=watched.key)
        part = client.get("/api/portfolio/load?limit=1", headers=watched.key)
    assert codes_of(problem_of(refused)) == ["too_many_facilities"]
    assert (refused.status_code, part.status_code) == (400, 200)
    assert "`?limit=1000`" in refused.json()["detail"]


def test_the_load_of_a_dr_event_of_many_facilities_has_steps_of_a_quarter_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load, "MOST_BY_MINUTES", 1)
    document = Watched().get(f"/api/dr-events/{DR_EVENT}/load")
    assert (document["step_s"], document["facilities"]) == (900, 2)
    assert [step["kw"] for step in document["steps"]] == [32.0, 32.0]
