"""The load of a facility over HTTP: age and source of a value, also while the store is unreachable."""

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.telemetry.meter_reading import MeterReading
from interfaces.web.api.telemetry import current_value
from projections.facility import FacilityRow, key_of
from tests.fakes.telemetry.meter_powers import FakeMeterPowers
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.unit.interfaces.web.edge import NOW, Edge, codes_of, problem_of

HOUR = "from=2026-07-14T11:00:00Z&to=2026-07-14T12:00:00Z"


class Watched:
    """One facility behind an edge, and a store that can become unavailable."""

    def __init__(self) -> None:
        self.store = FakeTelemetryStore()
        self.edge = Edge()
        self.edge.others = {
            "telemetry": self.store,
            "rollups": FakeTelemetryRollups(self.store, self.edge.clock),
            "meter_powers": FakeMeterPowers(self.store),
        }
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

    def reading(self) -> None:
        self.store.write_readings(
            0, 1, [MeterReading("fac-001", "m", NOW - timedelta(seconds=15), 118.2, None)]
        )

    def an_hour_of_readings(self) -> None:
        readings = [
            MeterReading("fac-001", "m", NOW - timedelta(seconds=s), 12.0, None) for s in range(15, 3_615, 15)
        ]
        self.store.write_readings(0, 1, readings)

    def get_document(self, client: Any, what: str) -> dict[str, Any]:
        answer = client.get(f"/api/facilities/fac-001/{what}", headers=self.key)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document


def test_a_value_comes_from_the_store_then_from_the_cache_then_as_a_stale_last_value() -> None:
    watched = Watched()
    watched.reading()
    seen = []
    with watched.edge.client() as client:
        for later_s in (0, 5, 60):
            watched.edge.clock.moment = NOW + timedelta(seconds=later_s)
            watched.store.available = later_s < 60
            document = watched.get_document(client, "current")
            seen.append((document["source"], document["age_s"], document["stale"], document["kw"]))
    assert seen == [
        ("store", 15.0, False, 118.2),
        ("cache", 20.0, False, 118.2),
        ("last_known", 75.0, True, 118.2),
    ]


def test_a_value_measured_in_the_future_is_stale() -> None:
    watched = Watched()
    watched.reading()
    watched.edge.clock.moment = NOW - timedelta(hours=1)
    with watched.edge.client() as client:
        document = watched.get_document(client, "current")
    assert (document["stale"], document["age_s"]) == (True, 15.0 - 3_600.0)


def test_a_facility_without_readings_has_no_source() -> None:
    watched = Watched()
    with watched.edge.client() as client:
        document = watched.get_document(client, "current")
    assert (document["source"], document["kw"], document["stale"], document["age_s"]) == (
        "none",
        None,
        True,
        None,
    )


RESOLUTIONS = {"15s": 240, "1m": 60, "15m": 4, "1h": 1}


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_history_states_its_age(resolution: str) -> None:
    watched = Watched()
    watched.an_hour_of_readings()
    with watched.edge.client() as client:
        first = watched.get_document(client, f"history?{HOUR}&resolution={resolution}")
        watched.edge.clock.moment = NOW + timedelta(seconds=60)
        watched.store.available = False
        later = watched.get_document(client, f"history?{HOUR}&resolution={resolution}")
    assert [(d["source"], d["age_s"], d["stale"]) for d in (first, later)] == [
        ("store", 0.0, False),
        ("last_known", 60.0, True),
    ]
    assert first["steps"] == later["steps"]


def test_an_unexpected_error_is_answered_without_details_and_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched()
    watched.reading()
    path = "/api/facilities/fac-001/current"

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a secret of ours")

    with watched.edge.client() as client:
        assert client.get(path, headers=watched.key).status_code == 200
        monkeypatch.setattr(current_value, "current_document", broken)
        with capture_logs() as logged:
            answer = client.get(path, headers=watched.key)
        assert client.get(path, headers=watched.edge.key("utility", utility="u")).status_code == 403
    assert problem_of(answer)["type"] == "/problems/internal-error"
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    [said] = [entry for entry in logged if entry["event"] == "request failed"]
    assert (said["route"], said["trace_id"]) == (
        "/api/facilities/{facility_id}/current",
        answer.headers["x-trace-id"],
    )
    assert isinstance(said["exc_info"], ZeroDivisionError)


def test_a_value_without_any_available_source_gives_503() -> None:
    watched = Watched()
    watched.store.available = False
    with watched.edge.client() as client:
        answers = [
            client.get(f"/api/facilities/fac-001/{what}", headers=watched.key)
            for what in ("current", f"history?{HOUR}")
        ]
    assert [problem_of(answer)["status"] for answer in answers] == [503, 503]


@pytest.mark.parametrize(("resolution", "count"), RESOLUTIONS.items())
def test_a_step_has_mean_energy_minimum_maximum_and_coverage(resolution: str, count: int) -> None:
    watched = Watched()
    watched.an_hour_of_readings()
    with watched.edge.client() as client:
        document = watched.get_document(client, f"history?{HOUR}&resolution={resolution}")
    assert (len(document["steps"]), document["next_cursor"]) == (count, None)
    assert document["steps"][0] == {
        "starts_at": "2026-07-14T11:00:00Z",
        "kw": 12.0,
        "kwh": pytest.approx(12.0 / count),
        "min_kw": 12.0,
        "max_kw": 12.0,
        "coverage_pct": pytest.approx(100.0),
    }


def test_steps_without_readings_have_null_values_and_zero_coverage() -> None:
    watched = Watched()
    with watched.edge.client() as client:
        steps = [
            watched.get_document(client, f"history?{HOUR}&resolution={r}")["steps"][0] for r in RESOLUTIONS
        ]
    for step in steps:
        assert {step[name] for name in ("kw", "kwh", "min_kw", "max_kw")} == {None}
        assert step["coverage_pct"] == 0.0


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_the_pages_of_a_history_add_up_to_the_whole(resolution: str) -> None:
    watched = Watched()
    watched.an_hour_of_readings()
    asking = f"history?{HOUR}&resolution={resolution}"
    with watched.edge.client() as client:
        whole = watched.get_document(client, asking)["steps"]
        pages: list[Any] = []
        following: str | None = ""
        while following is not None:
            page = watched.get_document(client, f"{asking}&limit=37{following}")
            pages.append(page["steps"])
            following = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert [step for page in pages for step in page] == whole
    assert all(len(page) == 37 for page in pages[:-1])


@pytest.mark.parametrize(
    "wrong",
    [
        "limit=0",
        "limit=10001",
        "cursor=here",
        "cursor=2026-07-14T11:00:00",
        "cursor=2026-07-14T11:00:07Z",
        "cursor=2026-07-14T12:00:00Z",
        "cursor=2026-07-14T10:59:00Z",
    ],
)
def test_an_invalid_limit_or_cursor_of_a_history_is_refused(wrong: str) -> None:
    watched = Watched()
    with watched.edge.client() as client:
        answer = client.get(
            f"/api/facilities/fac-001/history?{HOUR}&resolution=1m&{wrong}", headers=watched.key
        )
    assert problem_of(answer)["status"] == 400


@pytest.mark.parametrize(
    ("resolution", "first", "code"),
    [
        ("15s", "2026-07-13T11:59:45Z", "history_too_long"),
        ("1m", "2026-06-13T11:59:00Z", "history_too_long"),
        ("15m", "2026-04-13T11:45:00Z", "invalid_request"),
    ],
)
def test_a_history_too_long_for_its_resolution_is_refused_with_a_code(
    resolution: str, first: str, code: str
) -> None:
    watched = Watched()
    with watched.edge.client() as client:
        answer = client.get(
            f"/api/facilities/fac-001/history?from={first}&to=2026-07-14T12:00:00Z&resolution={resolution}",
            headers=watched.key,
        )
    document = problem_of(answer)
    assert (document["status"], codes_of(document)) == (400, [code])


def test_one_day_at_15_s_and_31_days_at_one_minute_are_allowed() -> None:
    watched = Watched()
    with watched.edge.client() as client:
        day = watched.get_document(
            client, "history?from=2026-07-13T12:00:00Z&to=2026-07-14T12:00:00Z&resolution=15s"
        )
        month = watched.get_document(
            client, "history?from=2026-06-13T12:00:00Z&to=2026-07-14T12:00:00Z&resolution=1m"
        )
    assert (len(day["steps"]), day["next_cursor"]) == (5_760, None)
    assert (len(month["steps"]), month["next_cursor"]) == (10_000, "2026-06-20T10:40:00Z")
