"""The reader of the settings."""

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.settings.settings import PREFIX, Settings, SettingsError, read_settings
from tests.tls_certificates import Authority

_FOLDER = TemporaryDirectory(prefix="gp-ca-")
A_FULL_SYSTEM = {
    "GRIDPROOF_DATA_DIR": "/var/lib/gridproof",
    "GRIDPROOF_HTTP_BIND": "[::1]:9000",
    "GRIDPROOF_PORTFOLIO": "/etc/gridproof/portfolio.yaml",
    "GRIDPROOF_PYTHON": "/opt/gridproof/bin/python",
    "GRIDPROOF_DATABASE_URL": "postgresql://app:hunter2@a:5432,b:5433/gridproof?target_session_attrs=read-write",
    "GRIDPROOF_MIGRATION_DATABASE_URL": "postgresql://owner:hunter3@a/gridproof",
    "GRIDPROOF_POSTGRES_BINDIR": "/usr/lib/postgresql/17/bin",
    "GRIDPROOF_BACKUP_DIR": "/mnt/backup",
    "GRIDPROOF_BACKUP_KEEP_FULL": "4",
    "GRIDPROOF_BACKUP_WAL_S": "30",
    "GRIDPROOF_NATS_URL": "nats://u:hunter4@n1:4222,nats://n2:4222",
    "GRIDPROOF_DATABASE_STANDBYS": "2",
    "GRIDPROOF_NATS_REPLICAS": "3",
    "GRIDPROOF_MQTT_URL": "mqtts://broker:8883",
    "GRIDPROOF_MQTT_VERSION": "5",
    "GRIDPROOF_MQTT_CLIENT_ID": "ingest-eu",
    "GRIDPROOF_MQTT_SESSIONS": "4",
    "GRIDPROOF_TLS_CA_FILE": str(Authority(Path(_FOLDER.name)).file),
    "GRIDPROOF_MQTT_CA_FILE": "/etc/gridproof/broker-ca.pem",
    "GRIDPROOF_MQTT_CERT_FILE": "/etc/gridproof/ingest.crt",
    "GRIDPROOF_MQTT_KEY_FILE": "/etc/gridproof/ingest.key",
    "GRIDPROOF_MQTT_ALPN": "x-amzn-mqtt-ca",
    "GRIDPROOF_REDIS_URL": "unix:///run/redis.sock?password=hunter5",
    "GRIDPROOF_INFLUX_URL": "http://influx:8086",
    "GRIDPROOF_ARCHIVE_URL": "s3://bucket/prefix",
    "GRIDPROOF_ARCHIVE_S3_ENDPOINT": "https://s3.example",
    "GRIDPROOF_ARCHIVE_S3_REGION": "eu-central-1",
    "GRIDPROOF_ARCHIVE_S3_KEY_ID": "AKIA0",
    "GRIDPROOF_ARCHIVE_S3_SECRET": "file:/etc/gridproof/s3.secret",
    "GRIDPROOF_WEATHER_URL": "https://weather.example/v1?key=hunter6",
    "GRIDPROOF_WEATHER_KEY": "env:WEATHER_KEY",
    "GRIDPROOF_WEATHER_QUOTA_PER_MONTH": "3000000",
    "GRIDPROOF_WEATHER_FORECAST_DAYS": "7",
    "GRIDPROOF_WEATHER_HISTORY_DAYS": "30",
    "GRIDPROOF_TELEMETRY_STORE": "influx",
    "GRIDPROOF_TELEMETRY_ARCHIVE": "false",
    "GRIDPROOF_TELEMETRY_ORIGINALS": "false",
    "GRIDPROOF_TELEMETRY_LOG_BYTES": "8589934592",
    "GRIDPROOF_TELEMETRY_LOG_DAYS": "14",
    "GRIDPROOF_INFLUX_TOKEN": "env:INFLUX_TOKEN",
    "GRIDPROOF_INFLUX_ORG": "aggregator",
    "GRIDPROOF_TELEMETRY_RAW_DAYS": "60",
    "GRIDPROOF_TELEMETRY_ROLLUP_DAYS": "365",
    "GRIDPROOF_TELEMETRY_RESTORED_DAYS": "3",
    "GRIDPROOF_CLOCK_EPOCH": "2026-07-14T21:00:00+02:00",
    "GRIDPROOF_CLOCK_STARTED_AT": "2026-11-24T10:00:00Z",
    "GRIDPROOF_CLOCK_SPEED": "360",
    "GRIDPROOF_ALERT_WEBHOOK_URL": "https://hooks.example/alerts?token=hunter7",
    "GRIDPROOF_ALERT_WEBHOOK_SECRET": "env:ALERT_SECRET",
    "GRIDPROOF_ALERT_ESCALATION_WEBHOOK_URL": "https://hooks.example/second?token=hunter8",
    "GRIDPROOF_ALERT_SMTP_URL": "smtps://ops@mail.example:465",
    "GRIDPROOF_ALERT_SMTP_PASSWORD": "file:/etc/gridproof/smtp.secret",
    "GRIDPROOF_ALERT_SMTP_CA_FILE": "/etc/gridproof/mail-ca.pem",
    "GRIDPROOF_ALERT_EMAIL_FROM": "gridproof@example.org",
    "GRIDPROOF_ALERT_EMAIL_TO": "ops@example.org,second@example.org",
    "GRIDPROOF_ALERT_ESCALATION_EMAIL_TO": "head@example.org",
    "GRIDPROOF_ALERT_LEAST_SEVERITY": "page",
    "GRIDPROOF_ALERT_ESCALATE_AFTER_S": "300",
    "GRIDPROOF_ALLOW_PRIVATE_CALLBACKS": "yes",
    "GRIDPROOF_CALLBACK_PORTS": "443,9443",
    "GRIDPROOF_HTTP_FAILED_AUTHENTICATIONS_PER_MIN": "90",
    "GRIDPROOF_HTTP_METRICS_BIND": "127.0.0.1:9464",
    "GRIDPROOF_HTTP_TRUSTED_PROXIES": "10.0.0.5,10.1.0.0/16",
    "GRIDPROOF_HTTP_SERVED_OVER_HTTPS": "true",
    "GRIDPROOF_HTTP_CONNECTIONS_PER_ADDRESS": "700",
    "GRIDPROOF_BMS_CONNECT_TIMEOUT_S": "2.5",
    "GRIDPROOF_BMS_TOTAL_TIMEOUT_S": "5",
    "GRIDPROOF_BMS_MAX_CONCURRENT": "7",
    "GRIDPROOF_WORKER_METRICS_BIND": "127.0.0.1:9129",
    "GRIDPROOF_OTLP_URL": "http://collector.example:4318",
    "GRIDPROOF_OTLP_RATIO": "0.25",
    "GRIDPROOF_DISPATCH_METRICS_BIND": "127.0.0.1:9109",
    "GRIDPROOF_TELEMETRY_METRICS_BIND": "127.0.0.1:9119",
    "GRIDPROOF_COMMAND_SLA_S": "60",
    "GRIDPROOF_DEAD_LETTER_SLA_S": "60",
    "GRIDPROOF_RECONCILE_S": "30",
    "GRIDPROOF_DATABASE_REPLICA_URL": "postgresql://reader@standby/gridproof",
    "GRIDPROOF_HTTP_RATE_PER_KEY_PER_S": "50",
    "GRIDPROOF_HTTP_CURRENT_PER_KEY_PER_S": "2",
    "GRIDPROOF_HTTP_READS_PER_KEY_PER_S": "400",
    "GRIDPROOF_QUEUE_DEPTH": "12",
    "GRIDPROOF_WAITING_PER_UTILITY": "120",
    "GRIDPROOF_WEBHOOK_BYTES_PER_DAY": "1048576",
    "GRIDPROOF_WEBHOOK_UNKNOWN_CANCELLATIONS_PER_DAY": "10",
    "GRIDPROOF_IDEMPOTENCY_DAYS": "3",
    "GRIDPROOF_NOTICE_MOST_DAYS_AHEAD": "60",
    "GRIDPROOF_STREAM_CLIENTS": "500",
    "GRIDPROOF_STREAM_CLIENTS_PER_KEY": "50",
    "GRIDPROOF_BMS_NETWORKS": "10.20.0.0/16,127.0.0.0/8",
    "GRIDPROOF_SECRETS_DIR": "/run/secrets",
    "GRIDPROOF_LEDGER_KEY": "file:/etc/gridproof/ledger.key",
    "GRIDPROOF_SNAPSHOT_KEY": "env:SNAPSHOT_KEY",
    "GRIDPROOF_LEDGER_SEAL_S": "5",
    "GRIDPROOF_LOG_LEVEL": "debug",
    "GRIDPROOF_LOG_JSON": "true",
    "GRIDPROOF_LOG_DAYS": "90",
    "GRIDPROOF_LOG_BYTES": "500000000",
    "GRIDPROOF_LOG_ARCHIVE": "true",
    "GRIDPROOF_FAILPOINT": "dispatch.before_call",
    "GRIDPROOF_FAILPOINT_ONCE_FILE": "/tmp/once",
    "GRIDPROOF_TESTING": "true",
}


def problems_of(environ: dict[str, str], env_file: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refusal:
        read_settings(environ, env_file)
    return refusal.value.problems


def test_an_empty_environment_means_embedded_servers() -> None:
    settings = read_settings({})
    assert settings == Settings()
    assert settings.data_dir == Path(".gridproof")
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8080)
    assert settings.database_url is None
    assert not settings.allow_private_callbacks


def test_every_setting_is_read() -> None:
    assert A_FULL_SYSTEM.keys() == {PREFIX + spec.name.upper() for spec in fields(Settings)}
    settings = read_settings(A_FULL_SYSTEM)
    untouched = [spec.name for spec in fields(Settings) if getattr(settings, spec.name) == spec.default]
    assert untouched == []
    assert settings.clock_epoch == datetime(2026, 7, 14, 19, tzinfo=UTC)
    assert (settings.http_host, settings.http_port) == ("::1", 9000)


@pytest.mark.parametrize("environ", [{}, A_FULL_SYSTEM], ids=["defaults", "everything set"])
def test_a_child_process_reads_the_same_settings(environ: dict[str, str]) -> None:
    settings = read_settings(environ)
    assert read_settings(settings.to_environ()) == settings


@given(speed=st.floats(0.001, 100_000), epoch=st.datetimes(timezones=st.just(UTC)))
def test_a_child_process_has_exactly_the_clock_settings_of_its_parent(speed: float, epoch: datetime) -> None:
    settings = Settings(clock_epoch=epoch, clock_started_at=epoch, clock_speed=speed)
    assert read_settings(settings.to_environ()) == settings


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://app@db-1,db-2/gridproof",
        "postgresql://app:p,w@[::1]:5432,[fd00::2],db-3:5432/gridproof?target_session_attrs=any",
        "postgresql:///gridproof?host=/run/postgresql",
        "postgresql://app@db-1:/gridproof",
    ],
)
def test_a_database_may_have_several_hosts_or_none(address: str) -> None:
    assert read_settings({"GRIDPROOF_DATABASE_URL": address}).database_url == address


def test_an_empty_setting_counts_as_unset() -> None:
    assert read_settings({"GRIDPROOF_NATS_URL": "", "GRIDPROOF_QUEUE_DEPTH": "  "}) == Settings()


def test_variables_of_other_programs_are_ignored() -> None:
    assert read_settings({"PATH": "/bin", "PGPASSWORD": "x"}) == Settings()


def test_a_weather_key_over_plain_http_is_refused() -> None:
    key = {"GRIDPROOF_WEATHER_KEY": "env:WEATHER_KEY"}
    assert read_settings(key | {"GRIDPROOF_WEATHER_URL": "http://127.0.0.1:9"}).weather_key
    (problem,) = problems_of(key | {"GRIDPROOF_WEATHER_URL": "http://weather.example"})
    assert problem.startswith("GRIDPROOF_WEATHER_URL: the key would travel in clear")


def test_all_invalid_settings_are_reported_together() -> None:
    wrong = {
        "GRIDPROOF_HTTP_BIND": "8080",
        "GRIDPROOF_DATABASE_URL": "mysql://app:hunter2@db/gridproof",
        "GRIDPROOF_QUEUE_DEPTH": "many",
        "GRIDPROOF_LOG_LEVEL": "loud",
        "GRIDPROOF_ALLOW_PRIVATE_CALLBACKS": "perhaps",
        "GRIDPROOF_CLOCK_EPOCH": "2026-07-14T21:00:00",
        "GRIDPROOF_FAILPOINT": "somewhere",
        "GRIDPROOF_NATZ_URL": "nats://n1",
    }
    problems = problems_of(wrong)
    assert {problem.partition(":")[0] for problem in problems} == wrong.keys()
    assert "hunter2" not in " ".join(problems)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_BIND", "127.0.0.1:65536"),
        ("HTTP_BIND", ":8080"),
        ("HTTP_BIND", "::1:8080"),
        ("NATS_URL", "nats://n1,http://n2"),
        ("MQTT_URL", "mqtt://b1:1883,mqtts://b2:8883"),
        ("MQTT_URL", "mqtt://b1:1883,"),
        ("MQTT_URL", "mqtt://b1:1883,b2:1883"),
        ("MQTT_URL", "mqtt://u:pass,word@b1"),
        ("MQTT_URL", "mqtt://b1:many"),
        ("REDIS_URL", "redis://:secret@c1,redis://:other@c1"),
        ("REDIS_URL", "redis://c1,unix:///run/redis.sock"),
        ("REDIS_URL", "unix:///run/redis.sock,unix:///run/other.sock"),
        ("DATABASE_URL", "postgresql://app@db-1:5432,db-2:many/gridproof"),
        ("DATABASE_URL", "postgresql://app@db-1:5432,db-2:65536/gridproof"),
        ("DATABASE_URL", "postgresql://app@db-1:5432,:5433/gridproof"),
        ("WEATHER_URL", "https:///nowhere"),
        ("WEATHER_URL", "https://[broken/"),
        ("CLOCK_EPOCH", "yesterday"),
        ("CLOCK_EPOCH", "0001-01-01T00:00:00+05:00"),
        ("BMS_TOTAL_TIMEOUT_S", "nan"),
        ("BMS_TOTAL_TIMEOUT_S", "inf"),
        ("BMS_MAX_CONCURRENT", "0"),
        ("BMS_MAX_CONCURRENT", "1.5"),
        ("QUEUE_DEPTH", "-1"),
        ("QUEUE_DEPTH", "٣"),
        ("TESTING", "perhaps"),
    ],
)
def test_an_invalid_value_is_refused_with_instructions(name: str, value: str) -> None:
    (problem,) = problems_of({PREFIX + name: value})
    assert problem.startswith(f"{PREFIX}{name}: use ")


@pytest.mark.parametrize("name", ["MQTT_URL", "REDIS_URL", "NATS_URL"])
def test_the_error_for_a_comma_in_a_password_says_how_to_write_it(name: str) -> None:
    scheme = name.partition("_")[0].lower()
    (problem,) = problems_of({PREFIX + name: f"{scheme}://app:hunter,2@host:1"})
    assert "a comma in a password is %2C" in problem
    assert "hunter" not in problem


def test_the_error_for_a_misspelt_name_suggests_the_closest_one() -> None:
    (problem,) = problems_of({"GRIDPROOF_DATABSE_URL": "postgresql://db/gridproof"})
    assert "did you mean GRIDPROOF_DATABASE_URL?" in problem


def test_variables_of_the_tests_reach_no_process_as_wrong_settings() -> None:
    assert read_settings({"GRIDPROOF_PATIENCE": "3", "GRIDPROOF_REQUIRE_DEBIAN": "1"}) == Settings()


def test_variables_of_secrets_may_have_any_name() -> None:
    assert read_settings({"GRIDPROOF_SECRET_PACIFIC": "s3cret"}) == Settings()


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"GRIDPROOF_CLOCK_SPEED": "60"}, "GRIDPROOF_CLOCK_EPOCH, GRIDPROOF_CLOCK_STARTED_AT"),
        ({"GRIDPROOF_BMS_CONNECT_TIMEOUT_S": "31"}, "GRIDPROOF_BMS_TOTAL_TIMEOUT_S"),
        ({"GRIDPROOF_TELEMETRY_STORE": "influx"}, "GRIDPROOF_INFLUX_URL"),
        ({"GRIDPROOF_TELEMETRY_RAW_DAYS": "800"}, "GRIDPROOF_TELEMETRY_ROLLUP_DAYS"),
        ({"GRIDPROOF_MIGRATION_DATABASE_URL": "postgresql://o@db/g"}, "GRIDPROOF_DATABASE_URL"),
        ({"GRIDPROOF_ARCHIVE_S3_KEY_ID": "AKIA0"}, "GRIDPROOF_ARCHIVE_S3_SECRET"),
        ({"GRIDPROOF_ARCHIVE_S3_SECRET": "env:S3"}, "GRIDPROOF_ARCHIVE_S3_KEY_ID"),
        ({"GRIDPROOF_MQTT_CERT_FILE": "/c.pem"}, "GRIDPROOF_MQTT_KEY_FILE"),
        ({"GRIDPROOF_MQTT_SESSIONS": "2"}, "the embedded broker has no shared subscriptions"),
        ({"GRIDPROOF_FAILPOINT_ONCE_FILE": "/tmp/x"}, "GRIDPROOF_FAILPOINT"),
        ({"GRIDPROOF_FAILPOINT": "dispatch.before_call"}, "GRIDPROOF_FAILPOINT"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(environ: dict[str, str], named: str) -> None:
    (problem,) = problems_of(environ)
    assert named in problem


def test_an_invalid_setting_is_reported_once() -> None:
    assert len(problems_of({**A_FULL_SYSTEM, "GRIDPROOF_CLOCK_SPEED": "fast"})) == 1
    assert len(problems_of({**A_FULL_SYSTEM, "GRIDPROOF_INFLUX_URL": "influx"})) == 1


def test_no_secret_is_shown() -> None:
    settings = read_settings(A_FULL_SYSTEM)
    described = settings.described()
    assert described.keys() == settings.to_environ().keys()
    for shown in (repr(settings), str(settings), str(described)):
        assert "hunter" not in shown
    assert described["GRIDPROOF_DATABASE_URL"] == "postgresql://***@a:5432,b:5433/gridproof"


@pytest.mark.parametrize("password", ["pa,ss", "p@ss", "pa:ss", "pa/ss"])
def test_a_password_that_contains_separators_is_hidden(password: str) -> None:
    settings = Settings(database_url=f"postgresql://app:{password}@db/gridproof")
    assert settings.described()["GRIDPROOF_DATABASE_URL"] == "postgresql://***@db/gridproof"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gridproof.env"
    file.write_text(
        "# a comment\n\nexport GRIDPROOF_QUEUE_DEPTH=5\nGRIDPROOF_LOG_LEVEL = 'debug'\nGRIDPROOF_NATS_URL=\n"
    )
    settings = read_settings({"GRIDPROOF_QUEUE_DEPTH": "6"}, file)
    assert (settings.queue_depth, settings.log_level, settings.nats_url) == (6, "debug", None)


def test_errors_of_a_file_are_reported_by_line_together_with_all_others(tmp_path: Path) -> None:
    file = tmp_path / "gridproof.env"
    file.write_text("GRIDPROOF_LOG_LEVEL=debug\nnonsense\nPASSWORD=hunter2\nGRIDPROOF_LOG_LEVEL=info\n")
    problems = problems_of({"GRIDPROOF_QUEUE_DEPTH": "0"}, file)
    assert [problem.partition(":")[0] for problem in problems] == [
        f"{file}, line 2",
        f"{file}, line 3",
        f"{file}, line 4",
        "GRIDPROOF_QUEUE_DEPTH",
    ]
    assert "hunter2" not in " ".join(problems)


@pytest.mark.parametrize(
    "content", [b"GRIDPROOF_LOG_LEVEL=\xff", b"#" * 70_000], ids=["not text", "too large"]
)
def test_a_file_without_settings_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "gridproof.env"
    file.write_bytes(content)
    (problem,) = problems_of({}, file)
    assert problem.startswith(f"{file}: ")


def test_the_error_for_a_missing_file_names_it(tmp_path: Path) -> None:
    (problem,) = problems_of({}, tmp_path / "absent.env")
    assert "absent.env: cannot be read (No such file or directory)" in problem


def test_a_dr_event_begins_at_most_a_quarter_ahead_unless_set_otherwise() -> None:
    assert Settings().notice_most_days_ahead == 90
    assert read_settings({"GRIDPROOF_NOTICE_MOST_DAYS_AHEAD": "366"}).notice_most_days_ahead == 366
