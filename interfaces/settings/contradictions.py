"""Contradictions between settings, each of which is valid by itself."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from application.dispatch.time_limits import BmsTimeLimits, TimeLimitsConflict
from interfaces.settings.parsers import sends_in_clear

CLOCK = frozenset({"GRIDPROOF_CLOCK_EPOCH", "GRIDPROOF_CLOCK_STARTED_AT", "GRIDPROOF_CLOCK_SPEED"})
PAIRS = (
    ("GRIDPROOF_ARCHIVE_S3_KEY_ID", "GRIDPROOF_ARCHIVE_S3_SECRET"),
    ("GRIDPROOF_MQTT_CERT_FILE", "GRIDPROOF_MQTT_KEY_FILE"),
    ("GRIDPROOF_ALERT_SMTP_URL", "GRIDPROOF_ALERT_EMAIL_FROM"),
)
"""Settings of which both are set, or none."""
NEEDS = (
    ("GRIDPROOF_ALERT_EMAIL_TO", "GRIDPROOF_ALERT_SMTP_URL"),
    ("GRIDPROOF_ALERT_ESCALATION_EMAIL_TO", "GRIDPROOF_ALERT_SMTP_URL"),
    ("GRIDPROOF_ALERT_WEBHOOK_URL", "GRIDPROOF_ALERT_WEBHOOK_SECRET"),
    ("GRIDPROOF_ALERT_ESCALATION_WEBHOOK_URL", "GRIDPROOF_ALERT_WEBHOOK_SECRET"),
)
"""A setting -> another one that it is useless without."""


def incomplete_groups(given: Collection[str], refused: Collection[str]) -> Iterator[str]:
    """Groups of settings of which some are missing. `given`: the names of those that are set; `refused`: those that
    were refused already."""
    missing = sorted(CLOCK.difference(given))
    if missing and len(missing) < len(CLOCK) and not CLOCK.intersection(refused):
        yield f"{missing[0]}: the three of the clock are set together; set {', '.join(missing)} too, or none"
    for first, second in PAIRS:
        if (first in given) != (second in given) and not {first, second}.intersection(refused):
            yield f"{first}: it goes with {second}; set both, or none"
    for name, needed in NEEDS:
        if name in given and needed not in given and not {name, needed}.intersection(refused):
            yield f"{name}: it needs {needed}; set that too"
    if (
        "GRIDPROOF_MIGRATION_DATABASE_URL" in given
        and "GRIDPROOF_DATABASE_URL" not in given
        and "GRIDPROOF_DATABASE_URL" not in refused
    ):
        yield "GRIDPROOF_DATABASE_URL: the owner's address is set but not the application's; set both, or none"


def secrets_folder_contradictions(secrets: Path, data_dir: Path) -> Iterator[str]:
    """References of a portfolio must not reach the service's own secrets."""
    data, real = data_dir.resolve(), secrets.resolve()
    if real == data or real in data.parents or (data in real.parents and real != data / "secrets"):
        yield (
            "GRIDPROOF_SECRETS_DIR: it overlaps with the data folder, which holds the service's own secrets; "
            "use a folder outside of it, or leave it to `secrets` in it"
        )


def _conflicts(limits: BmsTimeLimits) -> Iterator[str]:
    try:
        limits.check()
    except TimeLimitsConflict as conflict:
        yield str(conflict)


def failpoint_contradictions(given: Mapping[str, str], refused: Collection[str]) -> Iterator[str]:
    has_failpoint = "GRIDPROOF_FAILPOINT" in given
    is_test = given.get("GRIDPROOF_TESTING") == "true"
    if has_failpoint and not is_test and "GRIDPROOF_TESTING" not in refused:
        yield "GRIDPROOF_FAILPOINT: a failpoint kills the process; unset it, or set GRIDPROOF_TESTING=1 in a test"
    has_file = "GRIDPROOF_FAILPOINT_ONCE_FILE" in given
    if has_file and not has_failpoint and "GRIDPROOF_FAILPOINT" not in refused:
        yield "GRIDPROOF_FAILPOINT: GRIDPROOF_FAILPOINT_ONCE_FILE goes with a failpoint; set it, or unset the file"


class ComparedSettings(Protocol):
    """The settings that may contradict each other."""

    @property
    def data_dir(self) -> Path: ...
    @property
    def secrets_dir(self) -> Path | None: ...
    @property
    def secrets_folder(self) -> Path: ...
    @property
    def mqtt_url(self) -> str | None: ...
    @property
    def mqtt_sessions(self) -> int: ...
    @property
    def influx_url(self) -> str | None: ...
    @property
    def weather_url(self) -> str | None: ...
    @property
    def weather_key(self) -> str | None: ...
    @property
    def telemetry_store(self) -> str: ...
    @property
    def telemetry_raw_days(self) -> int: ...
    @property
    def telemetry_rollup_days(self) -> int: ...
    @property
    def clock_speed(self) -> float | None: ...
    @property
    def bms_connect_timeout_s(self) -> float: ...
    @property
    def bms_total_timeout_s(self) -> float: ...
    @property
    def command_sla_s(self) -> float: ...

    def to_environ(self) -> dict[str, str]: ...


def time_limit_contradictions(settings: ComparedSettings, refused: set[str]) -> Iterator[str]:
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
    yield from _conflicts(limits)


def contradictions(settings: ComparedSettings, *, refused: set[str]) -> Iterator[str]:
    """The contradictions between settings, without those whose settings were refused already."""
    yield from incomplete_groups(settings.to_environ(), refused)
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
    if settings.mqtt_sessions > 1 and settings.mqtt_url is None and "GRIDPROOF_MQTT_URL" not in refused:
        yield "GRIDPROOF_MQTT_SESSIONS: the embedded broker has no shared subscriptions; name a broker, or leave it 1"
    if settings.secrets_dir is not None and "GRIDPROOF_SECRETS_DIR" not in refused:
        yield from secrets_folder_contradictions(settings.secrets_folder, settings.data_dir)
    yield from failpoint_contradictions(settings.to_environ(), refused)
    yield from time_limit_contradictions(settings, refused)
    if settings.weather_key and sends_in_clear(settings.weather_url):
        yield "GRIDPROOF_WEATHER_URL: the key would travel in clear; begin the address with https://"
