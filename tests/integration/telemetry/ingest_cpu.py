"""CPU of the ingest process for each reading on a real nats-server. Run it from the root of the project.

    --rate 6700 --gateway 1        single readings (the default)
    --rate 67000 --gateway 10      gateways

Prints one JSON document: microseconds of CPU per reading of the generator, the broker with JetStream, and ingest. It
only measures: it asserts nothing and stores nothing.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import nats

from adapters.clock import SystemClock
from adapters.embedded import EmbeddedServers
from adapters.mqtt import MqttMeterFeed
from adapters.nats.telemetry_stream import NatsTelemetryStream
from interfaces.simulators.meters.load import MeterLoad
from interfaces.simulators.meters.load_plan import LoadPlan, new_run
from interfaces.workers.ingest import ingest
from interfaces.workers.ingest.sessions import IngestSession
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.listed_meters import AnyMeter


class AlwaysOurTurn:
    """A lock without another holder."""

    @asynccontextmanager
    async def held(self) -> AsyncIterator[asyncio.Event]:
        yield asyncio.Event()


async def run_ingest(mqtt_url: str, nats_url: str) -> None:
    client = await nats.connect(nats_url)
    stream = NatsTelemetryStream(client, max_bytes=4 << 30)
    await stream.ensure()
    feed = MqttMeterFeed(mqtt_url, client_id="measured")
    session = IngestSession("only", feed, AlwaysOurTurn())
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            ingest.run(
                sessions=[session],
                stream=stream,
                alerts=FakeAlertRegistry(),
                clock=SystemClock(),
                meters=AnyMeter(),
                stop=stop,
            )
        )
        await feed.subscribed.wait()
        sys.stdout.write("ready\n")
        sys.stdout.flush()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def nats_pid(folder: Path) -> int:
    """The pid of the server whose command line names this folder."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        line = process.read_bytes()
        if b"nats-server" in line.split(b"\0")[0] and str(folder).encode() in line:
            return int(process.parent.name)
    raise LookupError("no nats-server")


def measure(rate: float, gateway: int, seconds: float) -> dict[str, object]:
    with (
        tempfile.TemporaryDirectory(prefix="gridproof-cpu-") as folder,
        EmbeddedServers(Path(folder), postgres=False, nats=True, valkey=False) as servers,
    ):
        child = subprocess.Popen(
            [sys.executable, __file__, "--ingest", servers.mqtt_url, servers.nats_url],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert child.stdout is not None
            while child.stdout.readline().strip() != "ready":
                assert child.poll() is None
            pids = {"broker": nats_pid(Path(folder)), "ingest": child.pid}
            before = {name: cpu_s(pid) for name, pid in pids.items()} | {"generator": time.process_time()}
            now = datetime.now(UTC)
            plan = LoadPlan(
                run=new_run(now), meters=int(rate * 15), rate_per_s=rate, gateway=gateway, started_at=now
            )
            report = asyncio.run(MeterLoad(plan, servers.meters_mqtt_url).run(seconds))
            time.sleep(1.0)  # messages in transit arrive
            after = {name: cpu_s(pid) for name, pid in pids.items()} | {"generator": time.process_time()}
        finally:
            child.kill()
            child.wait()
    return {
        "readings": report.readings,
        "readings_per_s": report.readings_per_s,
        "longest_behind_s": report.longest_behind_s,
        "cpu_us_per_reading": {
            name: round((after[name] - before[name]) / report.readings * 1e6, 2) for name in before
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=6_700.0)
    parser.add_argument("--gateway", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--ingest", nargs=2)
    given = parser.parse_args()
    if given.ingest:
        asyncio.run(run_ingest(*given.ingest))
    else:
        sys.stdout.write(json.dumps(measure(given.rate, given.gateway, given.seconds)) + "\n")
