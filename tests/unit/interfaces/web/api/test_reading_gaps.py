"""The missing readings of a facility over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event, Semaphore
from typing import Any

from msgspec.structs import replace

from application.telemetry.reading_gaps import GapSources
from domain.telemetry.meter_reading import MeterReading
from domain.telemetry.reading_arrays import MeterReadings
from domain.time_series.windows import TimeWindow
from projections.facility import FacilityRow, key_of
from tests.fakes.telemetry.meter_readings import FakeMeterReadings
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.unit.interfaces.web.edge import NOW, Edge, codes_of

LOST = {40, 41}
PATIENCE_S = 30.0


class Metered:
    """A facility that lists `main` and `silent`; `stray` sends too."""

    def __init__(self) -> None:
        self.store = FakeTelemetryStore()
        self.edge = Edge()
        sources = GapSources(FakeMeterReadings(self.store), self.edge.clock, timedelta(days=90))
        self.edge.others = {"gap_sources": sources}
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
                meters=("main", "silent"),
            )
        }
        starts_at = NOW - timedelta(hours=1)
        readings = [
            MeterReading("fac-001", meter_id, starts_at + timedelta(seconds=15 * n), 12.0, None, n)
            for meter_id in ("main", "stray")
            for n in range(240)
            if n not in LOST
        ]
        self.store.write_readings(0, 1, readings)

    def get(self, query: str = "", *, facility: str | None = None) -> Any:
        with self.edge.client() as client:
            key = self.edge.key("dashboard", facility=facility)
            return client.get(f"/api/facilities/fac-001/gaps{query}", headers=key)


def test_missing_readings_are_listed_by_hour_and_meter() -> None:
    answer = Metered().get("?from=2026-07-14T11:00:00Z")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    [hour] = found["hours"]
    assert (hour["readings"], hour["missing"], hour["missing_seqs"], hour["meters_short"]) == (234, 238, 2, 2)
    main, silent = found["meters"]
    assert [one["missing"] for one in main["short_hours"]] == [2]
    assert main["holes"][0]["first_seq"] == 40
    assert (silent["newest_at"], silent["gaps"][0]["missing"]) == (None, 236)
    assert found["unlisted_meters"] == ["stray"]


def test_the_last_day_is_the_default() -> None:
    found = Metered().get().json()
    assert (found["starts_at"], found["ends_at"]) == ("2026-07-13T11:00:00Z", "2026-07-14T11:59:00Z")
    assert len(found["hours"]) == 25


def test_a_window_that_is_too_long_or_no_window_is_refused_with_its_limit() -> None:
    metered = Metered()
    too_long = metered.get("?from=2026-07-01T00:00:00Z")
    assert (too_long.status_code, codes_of(too_long.json())) == (400, ["gaps_window_too_long"])
    assert "at most 168 h" in too_long.text
    for query in ("?from=2026-07-14T11:00:00", "?from=2026-07-15T00:00:00Z", "?to=0001-01-01T00:00:00Z"):
        assert metered.get(query).status_code == 400, query


def test_a_key_of_another_facility_sees_nothing() -> None:
    assert Metered().get(facility="fac-002").status_code == 404
    assert Metered().get(facility="fac-001").status_code == 200


def test_an_unreachable_store_is_reported_as_unavailable() -> None:
    metered = Metered()
    metered.store.available = False
    assert metered.get().status_code == 503


class HeldReadings(FakeMeterReadings):
    """Reads nothing of `fac-001` until it is released."""

    def __init__(self, store: FakeTelemetryStore) -> None:
        super().__init__(store)
        self.begun, self.released = Semaphore(0), Event()

    def meter_readings(self, facility_id: str, window: TimeWindow) -> list[MeterReadings]:
        if facility_id == "fac-001":
            self.begun.release()
            assert self.released.wait(PATIENCE_S)
        return super().meter_readings(facility_id, window)


def test_the_calls_of_one_key_leave_a_place_to_others() -> None:
    metered = Metered()
    held = HeldReadings(metered.store)
    metered.edge.others = {"gap_sources": GapSources(held, metered.edge.clock, timedelta(days=90))}
    rows = metered.edge.read_models.facilities.rows
    rows[key_of("fac-002")] = replace(rows[key_of("fac-001")], facility_id="fac-002")
    greedy, other = metered.edge.key("dashboard"), metered.edge.key("dashboard")

    def status(facility_id: str, key: dict[str, str]) -> int:
        return client.get(f"/api/facilities/{facility_id}/gaps", headers=key).status_code

    with metered.edge.client() as client, ThreadPoolExecutor(4) as threads:
        flood = [threads.submit(status, "fac-001", greedy) for _ in range(4)]
        try:
            assert held.begun.acquire(timeout=PATIENCE_S)
            assert not held.begun.acquire(timeout=0.2), "one call of a key at a time"
            assert status("fac-002", other) == 200
        finally:
            held.released.set()
        assert [one.result() for one in flood] == [200] * 4
