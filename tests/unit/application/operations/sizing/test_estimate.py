"""The size of a system: what it needs, and which limit it reaches first."""

import msgspec
import pytest

from application.operations.sizing import measured
from application.operations.sizing.estimate import Estimate
from application.operations.sizing.limits import MOST_CONNECTIONS, limits_of
from application.operations.sizing.load import MOST_FACILITIES, SystemLoad
from application.telemetry.log_capacity import LogCapacity
from domain.telemetry.meter_reading import PARTITIONS
from interfaces.bootstrap.connection_budget import DEFAULT_PROCESSES, total_budget
from interfaces.bootstrap.offline import estimator
from interfaces.settings.settings import Settings

SMALL = SystemLoad(facilities=200, meters=2_000)


def sized(load: SystemLoad, settings: Settings | None = None) -> Estimate:
    return estimator(settings or Settings())(load)


def test_a_small_system_is_the_default_one() -> None:
    found = sized(SMALL)
    assert {name: need.count for name, need in found.processes.items()} | {"cli": 1} == dict(
        DEFAULT_PROCESSES
    )
    assert found.connections.budget == total_budget(Settings())
    assert found.partitions_used == 1


def test_the_telemetry_log_has_the_limit_that_ingest_sets() -> None:
    [log, *_] = sized(SMALL, Settings(telemetry_log_days=3)).streams
    assert log.name == "TELEMETRY"
    assert log.limit_bytes == LogCapacity(meters=2_000, days=3).limit_bytes


def test_work_that_one_processor_cannot_do_gets_further_processes() -> None:
    per_reading_s = measured.PROCESSOR["ingest"].reading_us / 1e6
    meters = int(15 * 2.5 / per_reading_s)  # two and a half processors
    found = sized(SystemLoad(facilities=meters // 10, meters=meters))
    assert found.processes["ingest"].count == 4
    assert found.processes["decide"].count == 1, "one of it works at a time"


def test_no_more_aggregate_processes_than_partitions_share_the_work() -> None:
    assert sized(SystemLoad(facilities=10, meters=100_000_000)).processes["aggregate"].count == PARTITIONS


def test_readings_are_held_for_the_days_of_the_settings() -> None:
    without = sized(SystemLoad(facilities=200, meters=0))
    for days in (15, 90):
        found = sized(SMALL, Settings(telemetry_raw_days=days, telemetry_rollup_days=2))
        held = found.disk.held["PostgreSQL"] - without.disk.held["PostgreSQL"]
        assert held == found.disk.a_day["readings"] * days + found.disk.a_day["rollups"] * 2


def test_the_limit_that_is_reached_with_the_fewest_facilities_stands_first() -> None:
    limits = limits_of(SMALL, sized)
    sizes = [limit.facilities or MOST_FACILITIES + 1 for limit in limits]
    assert sizes == sorted(sizes)
    assert len({limit.name for limit in limits}) == len(limits)
    assert all(limit.action for limit in limits)


@pytest.mark.parametrize("facilities", [200, 10_000, 1_000_000])
def test_a_limit_is_reached_at_the_size_that_is_named(facilities: int) -> None:
    load = SystemLoad(facilities=facilities, meters=10 * facilities)
    for limit in limits_of(load, sized):
        if limit.facilities is None:
            continue
        for size, reached in ((limit.facilities, True), (limit.facilities - 1, False)):
            grown = msgspec.structs.replace(load, facilities=max(1, size), meters=10 * max(1, size))
            [there] = [one for one in limits_of(grown, sized) if one.name == limit.name]
            assert (there.share >= 1.0) is reached or size < 1, limit


def test_a_system_without_dr_events_records_none() -> None:
    found = sized(msgspec.structs.replace(SMALL, dr_events_per_year=0))
    assert found.disk.a_day["domain events"] == 0
    assert found.disk.a_day["forecasts"] > 0


def test_connections_are_compared_with_what_was_tried() -> None:
    [limit] = [one for one in limits_of(SMALL, sized) if one.name == "connections"]
    assert limit.most == MOST_CONNECTIONS
    assert limit.used == sized(SMALL).connections.max_connections
