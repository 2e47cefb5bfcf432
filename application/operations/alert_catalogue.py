"""The catalogue of alerts: name, severity and condition of each.

Each has a runbook page of the same name in docs/runbooks/.
"""

import msgspec

from application.ports.operations.alerts import Severity


class AlertDefinition(msgspec.Struct, frozen=True):
    """The severity and the condition of an alert."""

    severity: Severity
    condition: str


ALERTS: dict[str, AlertDefinition] = {
    "telemetry_lag": AlertDefinition("warning", "the oldest unprocessed meter message is older than 15 s"),
    "telemetry_lag_high": AlertDefinition(
        "critical", "the oldest unprocessed meter message is older than 75 s"
    ),
    "telemetry_lag_severe": AlertDefinition(
        "page", "the oldest unprocessed meter message is older than 150 s"
    ),
    "telemetry_lag_rising": AlertDefinition(
        "critical", "meter messages have waited over 15 s, and longer and longer, for half a minute"
    ),
    "telemetry_backpressure": AlertDefinition(
        "critical", "JetStream has refused readings, or not kept up, for a minute"
    ),
    "malformed_readings": AlertDefinition("warning", "over 1 % of a facility's meter messages are malformed"),
    "poison_batch": AlertDefinition(
        "critical", "a telemetry batch or corrections of readings were parked after repeated failures"
    ),
    "sealing_failing": AlertDefinition(
        "warning", "the readings of a facility's day cannot be sealed, and are tried again each minute"
    ),
    "settlement_failing": AlertDefinition(
        "warning", "a DR event cannot be settled, and is tried again every five minutes"
    ),
    "telemetry_write_errors": AlertDefinition(
        "critical", "over 1 % of a process's writes to the telemetry store failed in 5 minutes"
    ),
    "telemetry_queries_slow": AlertDefinition(
        "warning", "the 99th percentile of queries of the telemetry store takes longer than 1 s"
    ),
    "retention_held_back": AlertDefinition(
        "warning", "readings are due for removal, and the archive does not hold them yet"
    ),
    "settling_behind": AlertDefinition(
        "critical", "a quarter-hour of telemetry that is over has waited for 10 minutes to be finalized"
    ),
    "raw_archive_behind": AlertDefinition(
        "critical",
        "the telemetry log has not been archived for 15 minutes, or the archive contradicts itself",
    ),
    "weather_unavailable": AlertDefinition("warning", "no usable weather for a forecast cycle"),
    "weather_quota": AlertDefinition("warning", "over 80 % of the month's weather calls are used"),
    "degraded_forecast": AlertDefinition(
        "warning",
        "a DR event within 4 h asks for a facility whose forecast is degraded, or blocks its dispatch",
    ),
    "readings_missing": AlertDefinition(
        "warning", "a facility that serves within 4 h, or now, has silent meters or misses readings"
    ),
    "forecast_drift": AlertDefinition(
        "warning",
        "a facility's forecast error of a week is 1.5 times the usual, or its intervals cover too little or too much",
    ),
    "forecast_conflicts": AlertDefinition(
        "warning", "over 0.1 % of a day's forecasts were refused as conflicting"
    ),
    "bms_breaker_open": AlertDefinition(
        "critical", "a BMS timed out five times in a row; calls are suspended"
    ),
    "bms_slow": AlertDefinition("warning", "the 99th percentile of BMS calls takes longer than 5 s"),
    "command_dead_lettered": AlertDefinition(
        "critical", "a BMS command had no known outcome by its deadline"
    ),
    "batch_below_80_percent": AlertDefinition(
        "critical", "fewer than 80 % of a DR event's facilities succeeded"
    ),
    "work_reissued": AlertDefinition(
        "warning", "the work queue lost work, which was issued again after a minute without an outcome"
    ),
    "restore_failing": AlertDefinition("page", "a building may still be curtailed after its DR event"),
    "dr_event_recovering_too_long": AlertDefinition(
        "page", "a DR event is still recovering 15 minutes after its last restore ramp"
    ),
    "bms_drift": AlertDefinition("warning", "a zone's state differs from what was commanded"),
    "dead_letter_overdue": AlertDefinition(
        "page", "nobody has acted on a dead-lettered command or callback in the time allowed"
    ),
    "callback_undeliverable": AlertDefinition("warning", "a callback could not be delivered to the utility"),
    "queue_full": AlertDefinition(
        "critical", "a bounded queue is full: the webhook refuses new DR events, or intents wait in the log"
    ),
    "database_failover": AlertDefinition(
        "critical", "the database failed over to another server while a DR event was active"
    ),
    "projection_stopped": AlertDefinition(
        "critical",
        "a projection met a domain event that it cannot apply, or its process ends again and again",
    ),
    "relay_stopped": AlertDefinition(
        "page",
        "no relay works: it met a domain event that it cannot read, ends again and again, or is not running",
    ),
    "relay_stalled": AlertDefinition(
        "page", "the relay runs, and its position has stood still for 30 s while the log grows"
    ),
    "saga_command_parked": AlertDefinition(
        "page",
        "a command that follows from a domain event fails, and waits with those behind it for a person",
    ),
    "deadline_failing": AlertDefinition(
        "page", "what is due by time (a preparation, start, end, restore or measurement) fails with an error"
    ),
    "side_task_failing": AlertDefinition(
        "critical", "a monitor, a sweeper or an expiry of the schedule worker fails and starts over"
    ),
    "projection_lag": AlertDefinition("warning", "a read model is far behind the log"),
    "clock_skewed": AlertDefinition(
        "page", "a machine's clock is over 5 s from the database's; its processes decide nothing"
    ),
    "snapshot_forged": AlertDefinition(
        "page", "a stored snapshot was not made by this system, or is newer than its stream; it is not used"
    ),
    "ledger_mismatch": AlertDefinition(
        "page", "the log differs from what was sealed, or the ledger contradicts itself"
    ),
    "ledger_unsealed": AlertDefinition("warning", "no checkpoint has covered new domain events for a minute"),
    "disk_filling": AlertDefinition(
        "critical", "over 80 % of the disk below a web process's data folder is used"
    ),
    "authentication_failures": AlertDefinition(
        "warning", "over 60 requests of one client address in a minute had a wrong key, session or signature"
    ),
    "worker_restarted": AlertDefinition("warning", "a worker process ended unexpectedly and was restarted"),
}
