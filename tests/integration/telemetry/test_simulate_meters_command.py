"""`gridproof simulate meters` as a process: a load with its audit, and the meters of a portfolio."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import yaml

from adapters.mqtt import MqttMeterFeed
from tests.acceptance.cli.terminal import PORTFOLIO
from tests.integration.telemetry.conftest import TelemetryPath
from tests.integration.telemetry.feed_reader import Taken, eventually, reading
from tests.patience import START_S


def command(*arguments: str, **settings: str) -> tuple[list[str], dict[str, str]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    environ |= {f"GRIDPROOF_{name}": value for name, value in settings.items()}
    return [sys.executable, "-m", "interfaces.cli", "simulate", "meters", *arguments], environ


def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    line, environ = command(*arguments, **settings)
    return subprocess.run(line, env=environ, capture_output=True, text=True, timeout=START_S, check=False)


def test_load_is_sent_counted_and_stored(path: TelemetryPath) -> None:
    arguments = ("--load", "200", "--rate", "400", "--gateway", "10", "--seconds", "1.5", "--audit", "--json")

    async def scenario() -> "subprocess.CompletedProcess[str]":
        async with (
            path.stream() as stream,
            path.aggregating(stream),
            path.ingesting(stream, client_id=f"ingest-{uuid4().hex[:8]}"),
        ):
            settings = {"DATABASE_URL": path.database.app_dsn, "MQTT_URL": path.servers.meters_mqtt_url}
            return await asyncio.to_thread(run, *arguments, **settings)

    done = asyncio.run(scenario())
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["sent"]["readings"] == 600
    nothing = dict.fromkeys(("lost", "duplicated", "stored_twice", "counted_twice", "foreign"), 0)
    assert said["audit"] == {"sent": 600, "stored": 600, **nothing}


def test_readings_missing_from_the_store_are_reported(path: TelemetryPath) -> None:
    """The broker has no reader."""
    arguments = ("--load", "20", "--rate", "100", "--seconds", "0.5", "--audit", "--audit-within-s", "0")
    done = run(*arguments, DATABASE_URL=path.database.app_dsn, MQTT_URL=path.servers.meters_mqtt_url)
    assert done.returncode == 3, done.stderr
    assert "lost" in done.stdout
    assert "50" in done.stdout


def test_the_meters_of_a_portfolio_publish_until_they_are_stopped(
    path: TelemetryPath, tmp_path: Path
) -> None:
    portfolio = tmp_path / "portfolio.yaml"
    portfolio.write_text(yaml.safe_dump(PORTFOLIO), encoding="utf-8")
    facility = PORTFOLIO["facilities"][0]["facility_id"]

    async def scenario() -> int:
        taken = Taken()
        feed = MqttMeterFeed(path.servers.mqtt_url, client_id=f"feed-{uuid4().hex[:8]}")
        async with reading(feed, taken):
            line, environ = command("--portfolio", str(portfolio), "--cadence-s", "0.5")
            environ |= {"GRIDPROOF_MQTT_URL": path.servers.meters_mqtt_url}
            environ |= {"GRIDPROOF_DATABASE_URL": path.database.app_dsn}
            meters = await asyncio.create_subprocess_exec(*line, env=environ, stdout=subprocess.PIPE)
            await eventually(lambda: any(f"/{facility}/" in message.topic for message in taken.messages))
            meters.terminate()
            return await meters.wait()

    assert asyncio.run(scenario()) == 0


def test_a_portfolio_or_a_number_must_be_given() -> None:
    for arguments in ((), ("--load", "5", "--portfolio", __file__)):
        done = run(*arguments, MQTT_URL="mqtt://127.0.0.1:1")
        assert done.returncode == 2
        assert "--load N" in done.stderr


def test_readings_in_influxdb_are_not_audited() -> None:
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/g", "MQTT_URL": "mqtt://127.0.0.1:1"}
    influx = {"TELEMETRY_STORE": "influx", "INFLUX_URL": "http://127.0.0.1:1"}
    done = run("--load", "5", "--audit", **influx, **nowhere)
    assert done.returncode == 2, done.stderr
    assert "counts in PostgreSQL" in done.stderr
