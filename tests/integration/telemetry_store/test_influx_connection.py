"""The connection to a real InfluxDB: writes can be read, failures are retried and translated."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from adapters.influxdb import connection as connections
from adapters.influxdb.connection import ATTEMPTS, RAW, ROLLUPS, InfluxConnection
from adapters.influxdb.influxql import is_one_of, select
from adapters.influxdb.line_protocol import line, microseconds, moment_of, tag
from adapters.influxdb.setup import InfluxNotSetUp, set_up
from application.ports.telemetry.store import ReadingsRefused, TelemetryStoreUnavailable
from tests.influxdb_server import Faults, InfluxServer

NOW = datetime.now(UTC).replace(microsecond=123_457)


@pytest.fixture
def server(influxd: InfluxServer) -> Iterator[InfluxServer]:
    yield influxd
    influxd.shim.faults = Faults()
    if influxd.child is None:
        influxd.start()


@pytest.fixture
def influx(server: InfluxServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[InfluxConnection]:
    """A connection to a prepared server, with short retry pauses."""
    monkeypatch.setattr(connections, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(connections, "LONGEST_WAIT_S", 0.02)
    connection = InfluxConnection(server.url, server.fresh_name())
    set_up(connection, raw_days=90, rollup_days=730)
    yield connection
    connection.close()


def row(kw: float = 1.5, *, at: datetime = NOW, facility: str = "a") -> str:
    return line("readings", {"facility_id": tag(facility)}, {"kw": kw}, microseconds(at))


def kws(connection: InfluxConnection) -> list[float]:
    (series,) = connection.query(RAW, ["SELECT kw FROM readings"])
    return [kw for one in series for (kw,) in one.rows("kw")]


def test_written_rows_are_read_back_to_the_microsecond(influx: InfluxConnection) -> None:
    odd = 'a b,c=d"ü'
    influx.write(
        RAW,
        [
            line(
                "readings",
                {"facility_id": tag(odd)},
                {"kw": 0.1, "seq": 2**53 + 1, "extra": '{"x": "a\\b"}', "ok": False, "none": None},
                microseconds(NOW),
            )
        ],
    )
    ((series,),) = influx.query(RAW, ["SELECT kw, seq, extra, ok FROM readings GROUP BY facility_id"])
    assert series.tags == {"facility_id": odd}
    ((us, *values),) = series.rows("time", "kw", "seq", "extra", "ok")
    assert (moment_of(us), values) == (NOW, [0.1, 2**53 + 1, '{"x": "a\\b"}', False])


def test_any_text_is_read_back_unchanged(influx: InfluxConnection) -> None:
    draw = random.Random(7)
    letters = [chr(n) for n in range(32, 127) if chr(n) != "\\"] + list("äß€漢🙂\u2028")
    ids = [f"{''.join(draw.choices(letters, k=12))}|{n}" for n in range(200)]
    texts = ["".join(draw.choices([*letters, "\\"], k=12)) for _ in ids]
    lines = [
        line("readings", {"facility_id": tag(one), "n": str(n)}, {"extra": said}, microseconds(NOW))
        for n, (one, said) in enumerate(zip(ids, texts, strict=True))
    ]
    influx.write(RAW, lines)
    wanted = is_one_of("facility_id", ids)
    (found,) = influx.query(RAW, [select("extra", "readings", wanted, by="facility_id")])
    assert {series.tags["facility_id"]: series.values[0][1] for series in found} == dict(
        zip(ids, texts, strict=True)
    )


@pytest.mark.parametrize("statuses", [[503], [429, 500]])
def test_a_temporary_failure_is_retried(
    influx: InfluxConnection, server: InfluxServer, statuses: list[int]
) -> None:
    server.shim.faults.statuses = list(statuses)
    influx.write(RAW, [row()])
    assert kws(influx) == [1.5]
    assert server.shim.faults.writes == len(statuses) + 1


def test_a_write_with_a_lost_answer_is_retried_and_stored_once(
    influx: InfluxConnection, server: InfluxServer
) -> None:
    server.shim.faults.lost_answers = 1
    influx.write(RAW, [row()])
    assert kws(influx) == [1.5]


def test_the_number_of_retries_is_limited(influx: InfluxConnection, server: InfluxServer) -> None:
    server.shim.faults.statuses = [503] * ATTEMPTS
    with pytest.raises(TelemetryStoreUnavailable, match="503"):
        influx.write(RAW, [row()])
    assert server.shim.faults.writes == ATTEMPTS


def test_invalid_rows_are_refused_at_once_and_leave_the_breaker_closed(
    influx: InfluxConnection, server: InfluxServer
) -> None:
    influx.write(RAW, [row()])
    server.shim.faults.writes = 0
    for _ in range(connections.BREAKER_FAILURES + 1):
        with pytest.raises(ReadingsRefused, match="kw"):
            influx.write(RAW, [line("readings", {}, {"kw": "a text"}, microseconds(NOW))])
    assert server.shim.faults.writes == connections.BREAKER_FAILURES + 1
    influx.write(RAW, [row(2.5, at=NOW + timedelta(seconds=1))])


def test_the_breaker_opens_after_consecutive_failures_and_later_closes(
    influx: InfluxConnection, server: InfluxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BREAKER_OPEN_S", 0.2)
    again = InfluxConnection(server.url, influx.database)
    server.kill()
    said = []
    for _ in range(connections.BREAKER_FAILURES):
        with pytest.raises(TelemetryStoreUnavailable) as raised:
            again.write(RAW, [row()])
        said.append("breaker open" in str(raised.value))
    assert said[0] is False
    assert said[-1] is True
    server.start()
    stored = False
    while not stored:
        try:
            again.write(RAW, [row()])
            stored = True
        except TelemetryStoreUnavailable:
            continue
    assert kws(again) == [1.5]
    again.close()


def test_an_absent_database_is_reported_as_unavailable_with_advice(server: InfluxServer) -> None:
    connection = InfluxConnection(server.url, server.fresh_name())
    with pytest.raises(TelemetryStoreUnavailable, match="gridproof migrate"):
        connection.write(RAW, [row()])
    with pytest.raises(TelemetryStoreUnavailable, match="not found"):
        connection.query(RAW, ["SELECT kw FROM readings"])
    connection.close()


def test_set_up_creates_policies_and_updates_them_with_the_settings(influx: InfluxConnection) -> None:
    def durations() -> dict[str, str]:
        (series,) = influx.command([f'SHOW RETENTION POLICIES ON "{influx.database}"'])
        return {name: lasts for one in series for name, lasts in one.rows("name", "duration")}

    assert {name: durations()[name] for name in (RAW, ROLLUPS)} == {RAW: "2160h0m0s", ROLLUPS: "17520h0m0s"}
    done = set_up(influx, raw_days=30, rollup_days=365)
    assert (done.version[:2], done.downsamples, durations()[RAW]) == ("1.", True, "720h0m0s")


def test_influxdb_aggregates_each_meter_by_minute(influx: InfluxConnection) -> None:
    minute = NOW.replace(second=0, microsecond=0) - timedelta(minutes=2)
    of = {"facility_id": "a", "meter_id": "m"}
    lines = [
        line("readings", of, {"kw": kw, "kw_counts": True}, microseconds(minute + timedelta(seconds=second)))
        for second, kw in ((0, 10.0), (15, 20.0), (30, 60.0))
    ]
    influx.write(RAW, lines)  # in one write: the scheduler of InfluxDB may run at any time
    found: list[tuple[object, ...]] = []
    # The scheduler of InfluxDB sets the time, and a point can be read before all its fields are written.
    while not found or any(None in row for row in found):
        (series,) = influx.query(
            ROLLUPS,
            ["SELECT mean_kw, min_kw, max_kw, readings FROM meter_minutes GROUP BY facility_id, meter_id"],
        )
        found = [r for one in series for r in one.rows("time", "mean_kw", "min_kw", "max_kw", "readings")]
    assert found == [(microseconds(minute), 30.0, 10.0, 60.0, 3)]


def test_set_up_names_the_bucket_that_it_cannot_create(
    server: InfluxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = InfluxConnection(server.url, server.fresh_name())
    monkeypatch.setattr(connection, "version", lambda: "2.7.5")
    with pytest.raises(InfluxNotSetUp, match=f"{connection.database}/raw.*90 days"):
        set_up(connection, raw_days=90, rollup_days=730)
    connection.close()


def test_shards_are_no_longer_than_a_short_retention(influx: InfluxConnection) -> None:
    set_up(influx, raw_days=2, rollup_days=2)
    (series,) = influx.command([f'SHOW RETENTION POLICIES ON "{influx.database}"'])
    shards = {name: lasts for one in series for name, lasts in one.rows("name", "shardGroupDuration")}
    assert (shards[RAW], shards[ROLLUPS]) == ("24h0m0s", "48h0m0s")


def test_an_invalid_query_is_reported(influx: InfluxConnection) -> None:
    with pytest.raises(TelemetryStoreUnavailable, match="error parsing query"):
        influx.query(RAW, ["SELECT FROM"])


def test_a_statement_refused_during_set_up_is_reported(
    influx: InfluxConnection,
) -> None:
    influx.command([f'DROP CONTINUOUS QUERY "meter_minutes" ON "{influx.database}"'])
    another = f'CREATE CONTINUOUS QUERY "meter_minutes" ON "{influx.database}" BEGIN '
    influx.command([another + "SELECT mean(kw) INTO elsewhere FROM readings GROUP BY time(5m) END"])
    with pytest.raises(InfluxNotSetUp, match="already exists"):
        set_up(influx, raw_days=90, rollup_days=730)
