"""Readings in InfluxDB: one row for each meter and time, with every field.

InfluxDB has no NULL, and a later row of the same time does not clear the fields that it leaves out. So absent values
are written, too. Two flags say whether a value is present, and two whether it counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from adapters.influxdb.connection import RAW, InfluxConnection
from adapters.influxdb.influxql import Series, before, in_chunks, is_one_of, select, since
from adapters.influxdb.line_protocol import Unstorable, line, microseconds, moment_of, tag
from application.ports.telemetry.store import ReadingsRefused
from domain.telemetry.meter_reading import UNUSABLE, MeterReading, conflict_rank
from domain.time_series.windows import TimeWindow

MEASUREMENT = "readings"
METER_TAGS = "facility_id, meter_id"
_CLUSTER = timedelta(hours=1)
"""Readings that are further apart are queried in separate statements."""

Key = tuple[str, str, datetime]
LastValues = dict[tuple[str, str], tuple[datetime, float]]
"""(facility, meter) -> the time of measurement and the value."""


def key_of(reading: MeterReading) -> Key:
    return reading.facility_id, reading.meter_id, reading.ts


def best_of(readings: Iterable[MeterReading]) -> dict[Key, MeterReading]:
    """For each meter and time, the reading of the highest rank."""
    best: dict[Key, MeterReading] = {}
    for reading in readings:
        key = key_of(reading)
        if key not in best or conflict_rank(reading) > conflict_rank(best[key]):
            best[key] = reading
    return best


def novel_readings(connection: InfluxConnection, readings: Sequence[MeterReading]) -> list[MeterReading]:
    """The readings that InfluxDB does not have, or has with a lower rank."""
    best = best_of(readings)
    stored = best_of(_stored(connection, list(best.values())))
    return [
        r for key, r in best.items() if key not in stored or conflict_rank(r) > conflict_rank(stored[key])
    ]


def lines_of(readings: Sequence[MeterReading]) -> list[str]:
    """Raises ReadingsRefused for a text that a line cannot represent."""
    tags: dict[tuple[str, str], dict[str, str]] = {}
    return [_line(reading, tags) for reading in readings]


def _line(r: MeterReading, tags: dict[tuple[str, str], dict[str, str]]) -> str:
    meter = (r.facility_id, r.meter_id)
    if meter not in tags:
        try:
            tags[meter] = {"facility_id": tag(r.facility_id), "meter_id": tag(r.meter_id)}
        except Unstorable as error:
            raise ReadingsRefused(str(error)) from error
    usable = r.quality not in UNUSABLE
    fields = {
        "kw": 0.0 if r.kw is None else float(r.kw),
        "kw_said": r.kw is not None,
        "kw_counts": usable and r.kw is not None,
        "kwh_total": 0.0 if r.kwh_total is None else float(r.kwh_total),
        "register_said": r.kwh_total is not None,
        "register_counts": usable and r.kwh_total is not None,
        "seq": -1 if r.seq is None else r.seq,
        "quality": r.quality,
        "revision": r.revision,
        "incomplete": r.incomplete,
        "extra": r.extra or "",
    }
    return line(MEASUREMENT, tags[meter], fields, microseconds(r.ts))


def _stored(connection: InfluxConnection, readings: Sequence[MeterReading]) -> Iterator[MeterReading]:
    statements = [
        select(
            ", ".join(_READ[1:]),
            MEASUREMENT,
            is_one_of("facility_id", facilities),
            since(first),
            before(last + timedelta(microseconds=1)),
            by=METER_TAGS,
        )
        for cluster in _clusters(readings)
        for facilities in in_chunks([r.facility_id for r in cluster])
        for first, last in [(cluster[0].ts, cluster[-1].ts)]
    ]
    for series in connection.series(RAW, statements):
        facility_id, meter_id = series.tags["facility_id"], series.tags["meter_id"]
        for row in series.rows(*_READ):
            yield _reading(facility_id, meter_id, row)


def readings_within(
    connection: InfluxConnection, facility_id: str, window: TimeWindow
) -> Iterator[MeterReading]:
    """The readings of a facility, by meter in order of time."""
    statement = select(
        ", ".join(_READ[1:]),
        MEASUREMENT,
        is_one_of("facility_id", [facility_id]),
        since(window.starts_at),
        before(window.ends_at),
        by=METER_TAGS,
    )
    for series in connection.series(RAW, [statement]):
        for row in series.rows(*_READ):
            yield _reading(facility_id, series.tags["meter_id"], row)


_READ = (
    "time",
    "kw",
    "kw_said",
    "kwh_total",
    "register_said",
    "seq",
    "quality",
    "revision",
    "incomplete",
    "extra",
)


def _reading(facility_id: str, meter_id: str, row: tuple[Any, ...]) -> MeterReading:
    us, kw, kw_said, kwh_total, register_said, seq, quality, revision, incomplete, extra = row
    return MeterReading(
        facility_id,
        meter_id,
        moment_of(us),
        float(kw) if kw_said else None,
        float(kwh_total) if register_said else None,
        None if seq < 0 else seq,
        quality,
        incomplete,
        extra or None,
        revision,
    )


def _clusters(readings: Sequence[MeterReading]) -> Iterator[list[MeterReading]]:
    """In order of time, split at long gaps: a late reading must not make a query of months."""
    cluster: list[MeterReading] = []
    for reading in sorted(readings, key=lambda r: r.ts):
        if cluster and reading.ts - cluster[-1].ts > _CLUSTER:
            yield cluster
            cluster = []
        cluster.append(reading)
    if cluster:
        yield cluster


def newest_by_meter(
    connection: InfluxConnection, facility_ids: Sequence[str]
) -> dict[str, dict[str, datetime]]:
    """Facility -> meter -> the time of its newest reading of any quality."""
    statements = [
        select("last(revision)", MEASUREMENT, is_one_of("facility_id", bite), by=METER_TAGS)
        for bite in in_chunks(facility_ids)
    ]
    newest: dict[str, dict[str, datetime]] = defaultdict(dict)
    for series in connection.series(RAW, statements):
        for (us,) in series.rows("time"):
            newest[series.tags["facility_id"]][series.tags["meter_id"]] = moment_of(us)
    return newest


def last_values(
    connection: InfluxConnection, facility_ids: Sequence[str], since_moment: datetime
) -> tuple[LastValues, LastValues]:
    """The last valid power and register of each meter since then."""
    bites = list(in_chunks(facility_ids))
    statements = [
        select(
            f"last({value}) AS value",
            MEASUREMENT,
            is_one_of("facility_id", bite),
            f"{counts} = true",
            since(since_moment),
            by=METER_TAGS,
        )
        for value, counts in (("kw", "kw_counts"), ("kwh_total", "register_counts"))
        for bite in bites
    ]
    result = connection.query(RAW, statements) if statements else []
    return _last_values(result[: len(bites)]), _last_values(result[len(bites) :])


def _last_values(result: Sequence[tuple[Series, ...]]) -> LastValues:
    return {
        (series.tags["facility_id"], series.tags["meter_id"]): (moment_of(us), float(number))
        for answer in result
        for series in answer
        for us, number in series.rows("time", "value")
    }
