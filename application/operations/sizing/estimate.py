"""The needs of a system for its load: processes, connections, streams, disk, processors, memory. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import msgspec

from application.operations.process_kinds import KIND_OF, Shares
from application.operations.sizing import measured
from application.operations.sizing.load import CYCLES_A_DAY, DAYS_A_YEAR, Retention, SystemLoad
from application.operations.sizing.measured import PROCESSOR
from application.telemetry.log_capacity import LogCapacity
from domain.telemetry.meter_reading import PARTITIONS

BUSY_SHARE = 0.7
"""Of one processor: a process that takes more gets a second one beside it."""
REQUESTS_PER_USER_S = 6 / 15
"""What a view of the dashboard asks for every 15 s."""
DR_EVENT_S = 900.0
"""A DR event is spread over a quarter-hour: its preparation, its start, its end and its measurement."""
SERVERS = frozenset({"postgres", "nats", "valkey"})
CONNECTIONS_STEP = 50
RESERVED_CONNECTIONS = 3
"""For superusers, by PostgreSQL's default."""
OTHER_CONNECTIONS = 10
"""For people, backups and replicas."""


class ProcessNeed(msgspec.Struct, frozen=True, kw_only=True):
    """All processes of one kind, or one server."""

    count: int
    cores: float
    """Of all of them together, while a DR event is under way."""
    memory_mib: float
    """Of all of them together."""
    connections: int
    """To PostgreSQL, at most, of all of them together."""


class ConnectionNeed(msgspec.Struct, frozen=True, kw_only=True):
    budget: int
    """Of all processes, and one command beside them."""
    max_connections: int
    """For the server: the budget, one more process of the largest kind while it is replaced, and others."""


class StreamNeed(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    limit_bytes: int
    messages_per_s: float
    consumers: int


class DiskNeed(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes a day that are new, and bytes that are held after a year."""

    a_day: Mapping[str, int]
    held: Mapping[str, int]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    load: SystemLoad
    retention: Retention
    readings_per_s: float
    processes: Mapping[str, ProcessNeed]
    servers: Mapping[str, ProcessNeed]
    cores: float
    memory_mib: float
    connections: ConnectionNeed
    partitions_used: int
    """Of the PARTITIONS that the telemetry log has, those that are needed side by side."""
    streams: tuple[StreamNeed, ...]
    disk: DiskNeed
    full_backup_bytes: int


def estimate(
    load: SystemLoad,
    *,
    budgets: Mapping[str, int],
    defaults: Mapping[str, int],
    retention: Retention,
) -> Estimate:
    """`budgets`: worker -> connections of one process at most, and `cli` for a command. `defaults`: worker -> processes
    of a default system, which are the fewest."""
    processes = {
        name: _processes(name, load, budgets[name], defaults[name]) for name in PROCESSOR if name in defaults
    }
    servers = {name: _server(name, load) for name in sorted(SERVERS)}
    needs = (*processes.values(), *servers.values())
    disk = disk_need(load, retention)
    return Estimate(
        load=load,
        retention=retention,
        readings_per_s=load.readings_per_s,
        processes=processes,
        servers=servers,
        cores=sum(need.cores for need in needs),
        memory_mib=sum(need.memory_mib for need in needs),
        connections=connection_need(processes, budgets),
        partitions_used=processes["aggregate"].count,
        streams=streams(load, retention),
        disk=disk,
        full_backup_bytes=round(disk.held["PostgreSQL"] * measured.BACKUP_SHARE.value),
    )


def cores_of(name: str, load: SystemLoad) -> float:
    """Processors that the work of one kind takes while a DR event is under way, without idling."""
    use, packs_a_day = PROCESSOR[name], LogCapacity(meters=load.meters, days=1).packs_a_day
    return (
        load.readings_per_s * use.reading_us / 1e6
        + packs_a_day / 86_400 * use.pack_ms / 1e3
        + load.users * REQUESTS_PER_USER_S * use.request_ms / 1e3
        + (load.facilities * use.dispatch_ms / 1e3 / DR_EVENT_S if load.dr_events_per_year else 0.0)
        + load.facilities * use.forecast_ms / 1e3 * CYCLES_A_DAY / 86_400
    )


def is_scaled(name: str) -> bool:
    """Whether more processes of the kind do more work; the read models are too few to be shared by many."""
    kind = KIND_OF[name]
    return isinstance(kind.acts, Shares) and not kind.folds_read_models


def _processes(name: str, load: SystemLoad, budget: int, fewest: int) -> ProcessNeed:
    cores = cores_of(name, load)
    count = max(fewest, ceil(cores / BUSY_SHARE)) if is_scaled(name) else fewest
    if name == "aggregate":
        count = min(count, PARTITIONS)
    return _need(name, cores, count, count * budget)


def _server(name: str, load: SystemLoad) -> ProcessNeed:
    return _need(name, cores_of(name, load), 1, 0)


def _need(name: str, cores: float, count: int, connections: int) -> ProcessNeed:
    use = PROCESSOR[name]
    return ProcessNeed(
        count=count,
        cores=cores + count * use.idle_ms_per_s / 1e3,
        memory_mib=count * use.held_mib,
        connections=connections,
    )


def connection_need(processes: Mapping[str, ProcessNeed], budgets: Mapping[str, int]) -> ConnectionNeed:
    budget = sum(need.connections for need in processes.values()) + budgets["cli"]
    surge = max(budgets[name] for name in processes)
    wanted = budget + surge + RESERVED_CONNECTIONS + OTHER_CONNECTIONS
    return ConnectionNeed(budget=budget, max_connections=ceil(wanted / CONNECTIONS_STEP) * CONNECTIONS_STEP)


def streams(load: SystemLoad, retention: Retention) -> tuple[StreamNeed, ...]:
    """The streams of JetStream."""
    log = LogCapacity(meters=load.meters, days=retention.telemetry_log)
    telemetry = StreamNeed(
        name="TELEMETRY",
        limit_bytes=log.limit_bytes,
        messages_per_s=log.packs_a_day / 86_400,
        consumers=PARTITIONS + 1,
    )
    return (telemetry,)


def disk_need(load: SystemLoad, retention: Retention) -> DiskNeed:
    readings, cycles = load.readings_a_day, load.facilities * CYCLES_A_DAY
    wal = readings * measured.WAL_BYTES.value + load.dispatches_a_day * measured.WAL_DISPATCH_BYTES.value
    telemetry_log = LogCapacity(meters=load.meters, days=retention.telemetry_log)
    a_day = {
        "domain events": round(load.dispatches_a_day * measured.LOG_BYTES.value),
        "forecasts": round(cycles * measured.FORECAST_BYTES.value),
        "readings": round(readings * measured.READING_BYTES.value),
        "rollups": round(readings * measured.ROLLUP_BYTES.value),
        "telemetry log": telemetry_log.bytes_a_day,
        "raw archive": round(readings * measured.ARCHIVE_BYTES.value),
        "PostgreSQL's log, archived": round(wal),
    }
    postgres = (
        (a_day["domain events"] + a_day["forecasts"]) * DAYS_A_YEAR
        + a_day["readings"] * min(retention.readings, DAYS_A_YEAR)
        + a_day["rollups"] * min(retention.rollups, DAYS_A_YEAR)
    )
    held = {
        "PostgreSQL": postgres,
        "NATS": telemetry_log.limit_bytes,
        "raw archive": a_day["raw archive"] * DAYS_A_YEAR,
        "backups": round(
            retention.full_backups * postgres * measured.BACKUP_SHARE.value + 7 * retention.full_backups * wal
        ),
    }
    return DiskNeed(a_day=a_day, held=held)
