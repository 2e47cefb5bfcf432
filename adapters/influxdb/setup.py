"""Sets up databases, retention and downsampling of InfluxDB for `gridproof migrate`; repeatable.

On 1.x everything is done by InfluxQL. 2.x and 3.x have no statements for it: their buckets or databases are created
with their own tools, and it is only checked whether they respond. Their common interface does not report the
retention.
"""

import msgspec

from adapters.influxdb.connection import RAW, ROLLUPS, InfluxConnection
from adapters.influxdb.influxql import QueryRefused, name, select
from adapters.influxdb.raw_readings import MEASUREMENT, METER_TAGS
from application.ports.telemetry.store import TelemetryStoreUnavailable


class InfluxNotSetUp(Exception):
    """An operator must do something; the text says what."""


class InfluxSetUp(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the setup."""

    version: str
    downsamples: bool
    """Whether InfluxDB itself computes minutes of each meter (continuous queries, 1.x only)."""


def set_up(connection: InfluxConnection, *, raw_days: int, rollup_days: int) -> InfluxSetUp:
    """Raises InfluxNotSetUp or TelemetryStoreUnavailable."""
    version = connection.version()
    if version.startswith("1."):
        try:
            _set_up_1x(connection, raw_days=raw_days, rollup_days=rollup_days)
        except QueryRefused as error:
            raise InfluxNotSetUp(f"InfluxDB {version} refused a statement: {error}") from error
        return InfluxSetUp(version=version, downsamples=True)
    for policy, days in ((RAW, raw_days), (ROLLUPS, rollup_days)):
        try:
            connection.query(policy, [select("last(revision)", MEASUREMENT, by="facility_id")])
        except TelemetryStoreUnavailable as error:
            raise InfluxNotSetUp(
                f"InfluxDB {version or 'of an unknown version'} does not answer for "
                f"{connection.database}/{policy} ({error}): make a bucket (2.x) or database (3.x) of that name that "
                f"keeps {days} days, give its token the right to read and write, and migrate again"
            ) from error
    return InfluxSetUp(version=version, downsamples=False)


def _set_up_1x(connection: InfluxConnection, *, raw_days: int, rollup_days: int) -> None:
    database = name(connection.database)
    connection.command([f"CREATE DATABASE {database}"])
    (policies,) = connection.command([f"SHOW RETENTION POLICIES ON {database}"])
    there = {row[0] for series in policies for row in series.rows("name")}
    # A shard must not be longer than the retention of its data.
    for policy, days, shard_days in ((RAW, raw_days, 1), (ROLLUPS, rollup_days, min(7, rollup_days))):
        verb = "ALTER" if policy in there else "CREATE"
        replication = "" if policy in there else " REPLICATION 1"
        default = " DEFAULT" if policy == RAW else ""
        lasts = f"DURATION {days}d{replication} SHARD DURATION {shard_days}d{default}"
        connection.command([f"{verb} RETENTION POLICY {name(policy)} ON {database} {lasts}"])
    connection.command([_meter_minutes(database)])


def _meter_minutes(database: str) -> str:
    """Minutes of each meter's power. We compute those of facilities, which late readings correct: InfluxDB looks back
    only for a limited time."""
    into = f"INTO {database}.{name(ROLLUPS)}.meter_minutes"
    minutes = select(
        f"mean(kw) AS mean_kw, min(kw) AS min_kw, max(kw) AS max_kw, count(kw) AS readings {into}",
        f"{database}.{name(RAW)}.{MEASUREMENT}",
        "kw_counts = true",
        by=f"time(1m), {METER_TAGS}",
    )
    return (
        f'CREATE CONTINUOUS QUERY "meter_minutes" ON {database} RESAMPLE EVERY 1m FOR 1h BEGIN {minutes} END'
    )
