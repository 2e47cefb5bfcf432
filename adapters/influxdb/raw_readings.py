"""Readings in InfluxDB: one row a meter and moment, every field in every row.

InfluxDB has no NULL and keeps the fields that a later row of the same moment leaves out. So what is not there is
written, too, and two flags say whether a value was said and two whether it counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from adapters.influxdb.connection import RAW, InfluxConnection
from adapters.influxdb.influxql import Series, before, in_bites, is_one_of, select, since
from adapters.influxdb.line_protocol import Unstorable, line, microseconds, moment_of, tag
from application.ports.telemetry.store import ReadingsRefused
from domain.telemetry.meter_reading import UNUSABLE, MeterReading, conflict_rank

MEASUREMENT = "readings"
A_METER = "facility_id, meter_id"
_CLUSTER = timedelta(hours=1)
"""Readings further apart than this are asked for in statements of their own."""

Key = tuple[str, str, datetime]
LastValues = dict[tuple[str, str], tuple[datetime, float]]
"""(facility, meter) -> when it was measured, and what it was."""


def key_of(reading: MeterReading) -> Key:
    return reading.facility_id, reading.meter_id, reading.ts


def best_of(readings: Iterable[MeterReading]) -> dict[Key, MeterReading]:
    """Of several of one meter and moment the one of the highest precedence."""
    best: dict[Key, MeterReading] = {}
    for reading in readings:
        key = key_of(reading)
        if key not in best or conflict_rank(reading) > conflict_rank(best[key]):
            best[key] = reading
    return best


def new_to(connection: InfluxConnection, readings: Sequence[MeterReading]) -> list[MeterReading]:
    """Those that InfluxDB does not hold yet, or holds in a word of lower precedence."""
    best = best_of(readings)
    known = best_of(_known(connection, list(best.values())))
    return [r for key, r in best.items() if key not in known or conflict_rank(r) > conflict_rank(known[key])]


def lines_of(readings: Sequence[MeterReading]) -> list[str]:
    """Raises ReadingsRefused for a text that no line can hold."""
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


def _known(connection: InfluxConnection, readings: Sequence[MeterReading]) -> Iterator[MeterReading]:
    statements = [
        select(
            ", ".join(_READ[1:]),
            MEASUREMENT,
            is_one_of("facility_id", facilities),
            since(first),
            before(last + timedelta(microseconds=1)),
            by=A_METER,
        )
        for cluster in _clusters(readings)
        for facilities in in_bites([r.facility_id for r in cluster])
        for first, last in [(cluster[0].ts, cluster[-1].ts)]
    ]
    for series in connection.series(RAW, statements):
        facility_id, meter_id = series.tags["facility_id"], series.tags["meter_id"]
        for row in series.rows(*_READ):
            yield _reading(facility_id, meter_id, row)


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
    """In order of time, parted where nothing is for long: a late reading must not make a query of months."""
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
    """Facility -> meter -> when its newest reading of any quality was measured."""
    statements = [
        select("last(revision)", MEASUREMENT, is_one_of("facility_id", bite), by=A_METER)
        for bite in in_bites(facility_ids)
    ]
    newest: dict[str, dict[str, datetime]] = defaultdict(dict)
    for series in connection.series(RAW, statements):
        for (us,) in series.rows("time"):
            newest[series.tags["facility_id"]][series.tags["meter_id"]] = moment_of(us)
    return newest


def last_values(
    connection: InfluxConnection, facility_ids: Sequence[str], since_moment: datetime
) -> tuple[LastValues, LastValues]:
    """The last power and the last register of each meter that count, measured since then."""
    bites = list(in_bites(facility_ids))
    statements = [
        select(
            f"last({value}) AS value",
            MEASUREMENT,
            is_one_of("facility_id", bite),
            f"{counts} = true",
            since(since_moment),
            by=A_METER,
        )
        for value, counts in (("kw", "kw_counts"), ("kwh_total", "register_counts"))
        for bite in bites
    ]
    found = connection.query(RAW, statements) if statements else []
    return _last_of(found[: len(bites)]), _last_of(found[len(bites) :])


def _last_of(found: Sequence[tuple[Series, ...]]) -> LastValues:
    return {
        (series.tags["facility_id"], series.tags["meter_id"]): (moment_of(us), float(number))
        for answer in found
        for series in answer
        for us, number in series.rows("time", "value")
    }
