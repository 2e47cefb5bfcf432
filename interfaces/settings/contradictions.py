"""Settings that contradict one another: each message names a setting and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from application.dispatch.time_limits import BmsTimeLimits, TimeLimitsConflict

if TYPE_CHECKING:
    from interfaces.settings.settings import Settings


def contradictions(settings: Settings, *, refused: set[str]) -> Iterator[str]:
    """The contradictions between settings, without those whose settings were refused already."""
    clock = {"GRIDPROOF_CLOCK_EPOCH", "GRIDPROOF_CLOCK_STARTED_AT", "GRIDPROOF_CLOCK_SPEED"}
    missing = sorted(clock - settings.to_environ().keys())
    if missing and len(missing) < len(clock) and not clock & refused:
        yield f"{missing[0]}: the three of the clock are set together; set {', '.join(missing)} too, or none"
    if settings.telemetry_rollup_days < settings.telemetry_raw_days and not refused & {
        "GRIDPROOF_TELEMETRY_ROLLUP_DAYS",
        "GRIDPROOF_TELEMETRY_RAW_DAYS",
    }:
        yield "GRIDPROOF_TELEMETRY_ROLLUP_DAYS: rollups outlive readings; make it GRIDPROOF_TELEMETRY_RAW_DAYS or more"
    if settings.bms_connect_timeout_s > settings.bms_total_timeout_s:
        yield "GRIDPROOF_BMS_CONNECT_TIMEOUT_S: it is part of GRIDPROOF_BMS_TOTAL_TIMEOUT_S; make it the shorter"
    if (
        settings.telemetry_store == "influx"
        and not settings.influx_url
        and "GRIDPROOF_INFLUX_URL" not in refused
    ):
        yield "GRIDPROOF_INFLUX_URL: no InfluxDB is embedded; give its address, or keep telemetry in postgres"
    if (
        settings.migration_database_url
        and not settings.database_url
        and "GRIDPROOF_DATABASE_URL" not in refused
    ):
        yield "GRIDPROOF_DATABASE_URL: the owner's address is set but not the application's; set both, or none"
    if (settings.archive_s3_key_id is None) != (settings.archive_s3_secret is None) and not refused & {
        "GRIDPROOF_ARCHIVE_S3_KEY_ID",
        "GRIDPROOF_ARCHIVE_S3_SECRET",
    }:
        yield "GRIDPROOF_ARCHIVE_S3_KEY_ID: it goes with GRIDPROOF_ARCHIVE_S3_SECRET; set both, or none"
    if (settings.mqtt_cert_file is None) != (settings.mqtt_key_file is None) and not refused & {
        "GRIDPROOF_MQTT_CERT_FILE",
        "GRIDPROOF_MQTT_KEY_FILE",
    }:
        yield "GRIDPROOF_MQTT_CERT_FILE: it goes with GRIDPROOF_MQTT_KEY_FILE; set both, or none"
    if settings.mqtt_sessions > 1 and settings.mqtt_url is None and "GRIDPROOF_MQTT_URL" not in refused:
        yield "GRIDPROOF_MQTT_SESSIONS: the embedded broker has no shared subscriptions; name a broker, or leave it 1"
    if settings.secrets_dir is not None and "GRIDPROOF_SECRETS_DIR" not in refused:
        yield from _secrets_folder_contradictions(settings.secrets_folder, settings.data_dir)
    yield from _failpoint_contradictions(settings, refused)
    yield from _time_limit_contradictions(settings, refused)


def _time_limit_contradictions(settings: Settings, refused: set[str]) -> Iterator[str]:
    """Not checked on an accelerated clock, where a call of 0.1 s on the wall takes minutes."""
    names = {"GRIDPROOF_BMS_CONNECT_TIMEOUT_S", "GRIDPROOF_BMS_TOTAL_TIMEOUT_S", "GRIDPROOF_COMMAND_SLA_S"}
    if settings.clock_speed is not None or refused & names or "GRIDPROOF_CLOCK_SPEED" in refused:
        return
    if settings.bms_connect_timeout_s > settings.bms_total_timeout_s:
        return  # reported already
    limits = BmsTimeLimits(
        connect_s=settings.bms_connect_timeout_s,
        call_s=settings.bms_total_timeout_s,
        command_sla_s=settings.command_sla_s,
    )
    try:
        limits.check()
    except TimeLimitsConflict as conflict:
        yield str(conflict)


def _secrets_folder_contradictions(secrets: Path, data_dir: Path) -> Iterator[str]:
    """What a portfolio refers to must not reach the service's own secrets."""
    data, real = data_dir.resolve(), secrets.resolve()
    if real == data or real in data.parents or (data in real.parents and real != data / "secrets"):
        yield (
            "GRIDPROOF_SECRETS_DIR: it overlaps with the data folder, which holds the service's own secrets; "
            "use a folder outside of it, or leave it to `secrets` in it"
        )


def _failpoint_contradictions(settings: Settings, refused: set[str]) -> Iterator[str]:
    if settings.failpoint and not settings.testing and "GRIDPROOF_TESTING" not in refused:
        yield "GRIDPROOF_FAILPOINT: a failpoint kills the process; unset it, or set GRIDPROOF_TESTING=1 in a test"
    if settings.failpoint_once_file and not settings.failpoint and "GRIDPROOF_FAILPOINT" not in refused:
        yield "GRIDPROOF_FAILPOINT: GRIDPROOF_FAILPOINT_ONCE_FILE goes with a failpoint; set it, or unset the file"
