"""Alerts of readings, their store and their archive, of weather and of forecasts."""

from application.operations.alert_catalogue.definition import AlertDefinition

TELEMETRY_ALERTS: dict[str, AlertDefinition] = {
    "telemetry_lag": AlertDefinition(
        "warning",
        "the oldest unprocessed meter message is older than 15 s",
        ends="it is 15 s or younger again",
        case="stop_aggregate",
    ),
    "telemetry_lag_high": AlertDefinition(
        "critical",
        "the oldest unprocessed meter message is older than 75 s",
        ends="it is 75 s or younger again",
        case="stop_aggregate",
    ),
    "telemetry_lag_severe": AlertDefinition(
        "page",
        "the oldest unprocessed meter message is older than 150 s",
        ends="it is 150 s or younger again",
        case="stop_aggregate",
    ),
    "telemetry_lag_rising": AlertDefinition(
        "critical",
        "meter messages have waited over 15 s, and longer and longer, for half a minute",
        ends="the age falls, or is below 15 s",
        case="stop_aggregate",
    ),
    "telemetry_backpressure": AlertDefinition(
        "critical",
        "JetStream has refused readings, or not kept up, for a minute",
        ends="JetStream accepts readings again, or no ingest worker has reported it for three minutes",
        case="shrink_telemetry_log",
    ),
    "malformed_readings": AlertDefinition(
        "warning",
        "over 1 % of a facility's meter messages are malformed",
        ends="the share is below 1 % again, or no ingest worker has reported it for three minutes",
        case="send_malformed_messages",
    ),
    "poison_batch": AlertDefinition(
        "critical",
        "a telemetry batch or corrections of readings were parked after repeated failures",
        ends="the last dead letter of that partition or facility is decided",
        case="send_unstorable_batch",
    ),
    "sealing_failing": AlertDefinition(
        "warning",
        "the readings of a facility's day cannot be sealed, and are tried again each minute",
        ends="the day is sealed, or the facility is deactivated",
        case="break_sealing",
    ),
    "telemetry_write_errors": AlertDefinition(
        "critical",
        "over 1 % of a process's writes to the telemetry store failed in 5 minutes",
        ends="the share is 1 % or lower again, or the process has not reported it for three minutes",
        case="disturb_telemetry_store",
    ),
    "telemetry_queries_slow": AlertDefinition(
        "warning",
        "the 99th percentile of queries of the telemetry store takes longer than 1 s",
        ends="the percentile is 1 s or lower again, or the process has not reported it for three minutes",
        case="disturb_telemetry_store",
    ),
    "retention_held_back": AlertDefinition(
        "warning",
        "readings are due for removal, and the archive does not hold them yet",
        ends="the archive holds every day that is due for removal",
        case="hold_back_retention",
    ),
    "settling_behind": AlertDefinition(
        "critical",
        "a quarter-hour of telemetry that is over has waited for 10 minutes to be finalized",
        ends="no quarter-hour has waited for 10 minutes",
        case="stop_aggregate",
    ),
    "raw_archive_behind": AlertDefinition(
        "critical",
        "the telemetry log has not been archived for 15 minutes, or the archive contradicts itself",
        ends="everything that is due is archived",
        case="lock_raw_archive",
    ),
    "readings_missing": AlertDefinition(
        "warning",
        "a facility that serves within 4 h, or now, has silent meters or misses readings",
        ends="the readings are there again, or the facility serves no longer",
        case="silence_meter",
    ),
    "weather_unavailable": AlertDefinition(
        "warning",
        "no usable weather for a forecast cycle",
        ends="a cycle got weather for that cell",
        case="stop_weather",
    ),
    "weather_quota": AlertDefinition(
        "warning",
        "over 80 % of the month's weather calls are used",
        ends="a call was made in a month of which less than 80 % is used",
        case="use_up_weather_quota",
    ),
    "degraded_forecast": AlertDefinition(
        "warning",
        "a DR event within 4 h asks for a facility whose forecast is degraded, or blocks its dispatch",
        ends="its newest forecast is full, or it serves no longer",
        case="stop_weather",
    ),
    "forecast_drift": AlertDefinition(
        "warning",
        "a facility's forecast error of a week is 1.5 times the usual, or its intervals cover too little or too much",
        ends="the error of the past week is usual again at the end of a day",
        case="disturb_forecasts",
    ),
    "forecast_conflicts": AlertDefinition(
        "warning",
        "over 0.1 % of a day's forecasts were refused as conflicting",
        ends="the share of a day is below 0.1 % again",
        case="disturb_forecasts",
    ),
}
