"""The kinds of processes: everything that is said of a kind outside of its own code stands here once.

A new kind is a record here and a module `interfaces/bootstrap/kinds/NAME.py`, which wires it. The connection budget,
credentials, rights at the servers, reports, sizes and probes follow from the records, and
`python tests/architecture/deployed_kinds.py --write` writes them into the files of deploy/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from application.facility.secret_references import Purpose

Role = Literal["web", "commands", "telemetry", "projections"]
Server = Literal[
    "replica", "nats", "mqtt", "cache", "influxdb", "archive", "weather", "callbacks", "mail", "buildings"
]
StreamRight = Literal["publish", "consume", "look at single messages"]
CacheUse = Literal["everything", "answers", "weather quota"]

POOL = 4
"""Sessions of the main pool; it opens one at first, and more while they are needed."""
WEB_POOL = 16
AGGREGATE_POOL = 8
"""Several partitions are written and finalized at once."""
COMPUTE_POOL = 6
"""Forecasts and measurements read at the same time."""
EVENT_STORE = 3
"""Group commit; loads of aggregates; and one for the log, keys and snapshots. Each is opened when it is first used."""
LIVE_LOG_POOL = 3
ZONES = 3
"""Of the processes of a kind that leads, more than one in each zone are of no use."""


class ProcessorUse(NamedTuple):
    """The use of processors by one kind of process, or by a server: a row of docs/benchmarks.md, with these columns."""

    idle_ms_per_s: float
    """Processor milliseconds a second, without any load; of one process."""
    pack_ms: float
    """A message of the telemetry log: what ingest has read of a partition within 0.1 s."""
    reading_us: float
    request_ms: float
    """A request of the dashboard; its share of the stream is included."""
    dispatch_ms: float
    """A facility in a DR event, from the notification to its measurement."""
    forecast_ms: float
    """A facility in a forecast cycle."""
    held_mib: float
    """Memory of one process."""


class Leads(NamedTuple):
    """One process of the kind acts and the others stand by: it holds these locks, each for a part of the work."""

    locks: tuple[str, ...]


class Shares(NamedTuple):
    """All processes of the kind share its work."""

    session: str | None = None
    """What the application name of the PostgreSQL session begins with that shows one which works; None: none does."""
    lock: str | None = None
    """A lock that one of them holds, for the part of the work that is not shared."""
    at_first_work: bool = False
    """The session is opened at the first work. Without it nobody knows whether a process runs."""


class Pods(NamedTuple):
    """What the chart gives the processes of a kind, unless its values say otherwise."""

    replicas: int
    cpu_m: int
    """Requested, in thousandths of a processor."""
    memory_mib: int
    """Requested."""
    memory_limit_mib: int
    useful: int = ZONES
    """More processes than so many have nothing to do."""
    most: int | None = None
    """With autoscaling; None: the kind is not scaled."""


class ProcessKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of process: `gridproof worker NAME`."""

    name: str
    title: str
    """What its processes work on, in a few words."""
    role: Role
    """Its role at PostgreSQL is `gridproof_ROLE`."""
    sessions: Mapping[str, int]
    """Kind of session -> how many sessions of PostgreSQL one process opens at most (ADR 0088)."""
    folds_read_models: bool = False
    """It has a session for each read model and for the ledger, and more for their rebuilds."""
    acts: Leads | Shares
    processor: ProcessorUse
    pods: Pods
    count: int = 1
    """Processes in a default system."""
    reaches: frozenset[Server] = frozenset()
    """The servers that it opens connections to, besides PostgreSQL and the collector of traces."""
    needs: frozenset[Server] = frozenset()
    """Those without which it is not ready."""
    telemetry_log: frozenset[StreamRight] = frozenset()
    """What it may do in the telemetry log, besides setting it up and looking at it."""
    subscribes: tuple[str, ...] = ()
    """Subjects that its login at NATS subscribes to over MQTT."""
    cache: frozenset[CacheUse] = frozenset()
    """What it may use of the cache."""
    secrets: frozenset[str] = frozenset()
    """Settings that refer to a secret which it reads, besides the snapshot key, which every process reads."""
    portfolio_secrets: Purpose | None = None
    """Of the secrets that the portfolio refers to, those that it reads."""
    extras: tuple[str, ...] = ()
    """The extras of the package without which it does not start."""
    certificates: tuple[str, ...] = ()
    """The settings, of files and addresses, whose certificates it watches. Of those that every kind uses, one looks."""
    metrics_bind: str | None = None
    """A setting with an address at which it serves its metrics too."""

    @property
    def locks(self) -> tuple[str, ...]:
        """The locks that its active processes hold; without them its state is told otherwise, or unknown."""
        if isinstance(self.acts, Leads):
            return self.acts.locks
        return () if self.acts.lock is None else (self.acts.lock,)


_PUBLISH: frozenset[StreamRight] = frozenset({"publish"})
_CONSUME: frozenset[StreamRight] = frozenset({"consume"})
_LOOK: frozenset[StreamRight] = frozenset({"look at single messages"})

KINDS: tuple[ProcessKind, ...] = (
    ProcessKind(
        name="web",
        title="HTTP and the page",
        role="web",
        sessions={
            "pool": WEB_POOL,
            "event_store": EVENT_STORE,
            "listen": 1,
            "live_log": LIVE_LOG_POOL + 1,
            "waits": 1,
        },
        acts=Shares(),
        processor=ProcessorUse(4.04, 0, 0, 2.78, 4.94, 0, 215),
        pods=Pods(3, cpu_m=500, memory_mib=384, memory_limit_mib=1024, useful=16, most=6),
        reaches=frozenset({"replica", "nats", "cache", "influxdb"}),
        telemetry_log=_PUBLISH,  # it replays readings
        cache=frozenset({"everything"}),
        secrets=frozenset({"influx_token"}),
        portfolio_secrets="webhook",
        certificates=("redis_url", "influx_url", "database_replica_url"),
    ),
    ProcessKind(
        name="decide",
        title="commands that follow from the log, and deadlines",
        role="commands",
        sessions={"pool": POOL, "event_store": EVENT_STORE, "locks": 1, "listen": 1},
        acts=Leads(("relay", "deadlines")),
        processor=ProcessorUse(8.98, 0, 0, 0, 30, 0, 282),
        pods=Pods(2, cpu_m=200, memory_mib=320, memory_limit_mib=768),
        certificates=("otlp_url",),
    ),
    ProcessKind(
        name="dispatch",
        title="BMS commands",
        role="commands",
        sessions={"pool": POOL, "event_store": EVENT_STORE, "locks": 1, "listen": 1},
        acts=Shares("gridproof call slots", at_first_work=True),
        processor=ProcessorUse(8.38, 0, 0, 0.128, 114, 0, 120),
        # They share the open work of buildings; calls at once are bounded over all of them.
        pods=Pods(3, cpu_m=200, memory_mib=256, memory_limit_mib=768, useful=64),
        count=2,  # so that another one goes on when one dies
        reaches=frozenset({"buildings"}),
        portfolio_secrets="bms",
        metrics_bind="dispatch_metrics_bind",
    ),
    ProcessKind(
        name="watch",
        title="callbacks, monitors and messages of alerts",
        role="commands",
        sessions={"pool": POOL, "event_store": EVENT_STORE, "locks": 1, "listen": 1},
        acts=Shares(lock="position-watch"),
        processor=ProcessorUse(7.24, 0, 0, 0.131, 2.57, 0, 282),
        pods=Pods(2, cpu_m=100, memory_mib=320, memory_limit_mib=768, useful=16),
        reaches=frozenset({"nats", "influxdb", "callbacks", "mail"}),
        telemetry_log=_LOOK,  # the monitor of its lag
        secrets=frozenset({"influx_token", "alert_webhook_secret", "alert_smtp_password"}),
        portfolio_secrets="callback",
        certificates=(
            "tls_ca_file",
            "database_url",
            "nats_url",
            "alert_smtp_ca_file",
            "alert_smtp_url",
            "alert_webhook_url",
            "alert_escalation_webhook_url",
        ),
    ),
    ProcessKind(
        name="project",
        title="read models and the ledger",
        role="projections",
        sessions={"pool": POOL, "event_store": 0},
        folds_read_models=True,
        acts=Shares("projection "),
        processor=ProcessorUse(6.29, 0, 0, 0, 24.4, 0, 99.7),
        # They share six read models and the ledger.
        pods=Pods(2, cpu_m=200, memory_mib=256, memory_limit_mib=1024, useful=7),
        reaches=frozenset({"archive"}),
        secrets=frozenset({"ledger_key", "archive_s3_secret"}),
        certificates=("archive_s3_endpoint",),
    ),
    ProcessKind(
        name="ingest",
        title="readings of meters",
        role="telemetry",
        sessions={"pool": POOL, "event_store": 0, "locks": 1},
        acts=Shares("turn "),
        processor=ProcessorUse(3.29, 0.49, 15, 0, 0, 0, 118),
        # As many read at once as there are MQTT sessions, the others stand by.
        pods=Pods(2, cpu_m=500, memory_mib=256, memory_limit_mib=768, useful=64),
        reaches=frozenset({"nats", "mqtt"}),
        needs=frozenset({"nats", "mqtt"}),
        telemetry_log=_PUBLISH | _LOOK,
        # The second is the listener's own, for a session's messages.
        subscribes=("meters.*.*.readings", "$MQTT.sub.>"),
        certificates=("mqtt_ca_file", "mqtt_cert_file", "mqtt_url"),
        metrics_bind="telemetry_metrics_bind",
    ),
    ProcessKind(
        name="aggregate",
        title="readings, rollups and their retention",
        role="telemetry",
        sessions={"pool": AGGREGATE_POOL, "event_store": 0, "locks": 1},
        acts=Shares("gridproof partitions"),
        processor=ProcessorUse(4.39, 0.518, 19.7, 0, 0, 0, 237),
        # They share the eight partitions of the telemetry log.
        pods=Pods(2, cpu_m=500, memory_mib=384, memory_limit_mib=1024, useful=8, most=4),
        reaches=frozenset({"nats", "cache", "influxdb"}),
        needs=frozenset({"nats"}),
        telemetry_log=_PUBLISH | _CONSUME,
        cache=frozenset({"answers"}),
        secrets=frozenset({"influx_token"}),
        certificates=("redis_url", "influx_url"),
        metrics_bind="telemetry_metrics_bind",
    ),
    ProcessKind(
        name="archive",
        title="the raw archive",
        role="telemetry",
        sessions={"pool": POOL, "event_store": 0, "locks": 1},
        acts=Leads(("raw-archive",)),
        processor=ProcessorUse(1.65, 0, 11, 0, 0, 0, 71.4),
        pods=Pods(2, cpu_m=100, memory_mib=256, memory_limit_mib=768),
        reaches=frozenset({"nats", "archive"}),
        needs=frozenset({"nats"}),
        telemetry_log=_CONSUME,
        secrets=frozenset({"archive_s3_secret"}),
        certificates=("archive_s3_endpoint",),
    ),
    ProcessKind(
        name="compute",
        title="forecasts, measurement and settlement",
        role="commands",
        # The log of the forecasts is another one, with sessions of its own.
        sessions={"pool": COMPUTE_POOL, "event_store": 2 * EVENT_STORE, "locks": 1},
        acts=Leads(("measure", "forecast")),
        processor=ProcessorUse(4.29, 0, 0, 0, 4.13, 0.77, 672),
        # 10,000 facilities take 630 MiB, and the child that trains 130.
        pods=Pods(2, cpu_m=500, memory_mib=896, memory_limit_mib=3072),
        reaches=frozenset({"cache", "influxdb", "weather"}),
        cache=frozenset({"answers", "weather quota"}),
        secrets=frozenset({"influx_token", "weather_key"}),
        extras=("forecasting",),
        certificates=("redis_url", "weather_url"),
    ),
)
WEB = "web"
"""It has an event loop of its own, and serves the reports about the others."""
KIND_OF: Mapping[str, ProcessKind] = {kind.name: kind for kind in KINDS}
NAMES: tuple[str, ...] = tuple(KIND_OF)
EXTRAS_OF_WORKERS: Mapping[str, tuple[str, ...]] = {kind.name: kind.extras for kind in KINDS if kind.extras}
"""Worker -> the extras without which it does not start; every other worker needs none."""
