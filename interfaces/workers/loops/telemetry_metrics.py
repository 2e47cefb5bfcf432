"""Prometheus metrics of telemetry, in the process's own registry, which `/metrics` of that process serves."""

from math import nan

from prometheus_client import Gauge, Histogram

from application.telemetry.store_health import TelemetryHealth

LAG_S = Gauge(
    "gridproof_telemetry_lag_seconds",
    "Age of the oldest message of the partition that is not stored yet, in wall seconds",
    ("partition",),
)
INGEST_LAG_S = Gauge(
    "gridproof_telemetry_ingest_lag_seconds",
    "Wall seconds for which the telemetry log has not kept up with what meters send; 0 while it does",
    ("process",),
)
WRITE_ERROR_PCT = Gauge(
    "gridproof_telemetry_write_error_pct",
    "Share of this process's writes to the telemetry store that failed in 5 minutes; NaN for too few",
    ("process",),
)
QUERY_P99_S = Gauge(
    "gridproof_telemetry_query_p99_seconds",
    "The 99th percentile of this process's queries to the telemetry store in 5 minutes; NaN for too few",
    ("process",),
)
STATEMENT_S = Histogram(
    "gridproof_telemetry_statement_seconds",
    "How long this process's calls to the telemetry store took, by the name of the statement",
    ("process", "statement"),
    buckets=(0.005, 0.02, 0.1, 0.5, 2.0, 10.0),
)


def show_health(health: TelemetryHealth, process: str) -> None:
    """Have the metrics of `process` read `health` at each scrape, and count each statement."""

    def write_error_pct() -> float:
        pct = health.write_error_pct()
        return nan if pct is None else pct

    def query_p99_s() -> float:
        p99_s = health.query_p99_s()
        return nan if p99_s is None else p99_s

    def count(statement: str, seconds: float) -> None:
        STATEMENT_S.labels(process, statement).observe(seconds)

    health.on_statement = count
    WRITE_ERROR_PCT.labels(process).set_function(write_error_pct)
    QUERY_P99_S.labels(process).set_function(query_p99_s)
