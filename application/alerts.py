"""Every alert of Gridproof: its name, severity and the condition that raises it.

Each has a runbook page of the same name in docs/runbooks/.
"""

import msgspec

from application.ports.alerts import Severity


class AlertDefinition(msgspec.Struct, frozen=True):
    """What an alert means."""

    severity: Severity
    condition: str


ALERTS: dict[str, AlertDefinition] = {
    "telemetry_lag": AlertDefinition("warning", "the oldest unprocessed meter message is older than 15 s"),
    "telemetry_backpressure": AlertDefinition("critical", "JetStream has taken no readings for a minute"),
    "malformed_readings": AlertDefinition("warning", "over 1 % of a facility's meter messages are malformed"),
    "poison_batch": AlertDefinition("critical", "a telemetry batch was parked after repeated failures"),
    "weather_unavailable": AlertDefinition("warning", "no usable weather for a forecast cycle"),
    "degraded_forecast": AlertDefinition(
        "warning", "a DR event within 4 h asks for a facility whose newest forecast is degraded"
    ),
    "forecast_conflicts": AlertDefinition("warning", "over 0.1 % of forecasts were refused as conflicting"),
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
    "restore_failing": AlertDefinition("page", "a building may still be curtailed after its DR event"),
    "bms_drift": AlertDefinition("warning", "a zone's state differs from what was commanded"),
    "dead_letter_overdue": AlertDefinition(
        "page", "nobody has acted on a dead-lettered command or callback in the time allowed"
    ),
    "callback_undeliverable": AlertDefinition("warning", "the utility could not be told"),
    "projection_stopped": AlertDefinition("critical", "a projection met a domain event it cannot fold"),
    "relay_stopped": AlertDefinition(
        "page", "the relay met a domain event that it cannot read; no command and no callback goes out"
    ),
    "projection_lag": AlertDefinition("warning", "a read model is far behind the log"),
    "ledger_mismatch": AlertDefinition(
        "page", "the log is not what was sealed, or the ledger contradicts itself"
    ),
    "ledger_unsealed": AlertDefinition(
        "warning", "domain events have not come under a checkpoint for a minute"
    ),
    "worker_restarted": AlertDefinition("warning", "a worker process ended unexpectedly and was restarted"),
}
