"""The telemetry log's limit follows the portfolio while ingest runs; `up` and the doctor say what does not fit."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nats
import nats.js.errors
import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from adapters.nats.telemetry_stream import STREAM
from application.ports.telemetry.stream import StreamFill
from application.telemetry.log_capacity import LogCapacity
from interfaces.bootstrap import log_misfits, open_stores
from interfaces.bootstrap.doctor.telemetry_log import check_telemetry_log
from interfaces.bootstrap.kinds.ingest import run as run_ingest
from interfaces.bootstrap.stores import Stores
from interfaces.bootstrap.telemetry_stream import follow_meters, telemetry_log
from interfaces.settings.settings import Settings
from tests.bench.ingest.listing import list_facility
from tests.patience import ANSWER_S
from tests.servers import Database
from tests.telemetry_log import delete_telemetry_log


@pytest.fixture
def stores(database: Database, nats_url: str, tmp_path: Path) -> Iterator[Stores]:
    asyncio.run(_without_log(nats_url))
    settings = Settings(data_dir=tmp_path, database_url=database.app_dsn, nats_url=nats_url)
    with closing(open_stores(settings, pool_size=2)) as opened:
        yield opened
    asyncio.run(_without_log(nats_url))


async def _without_log(url: str) -> None:
    client = await nats.connect(url)
    await delete_telemetry_log(client.jetstream())
    await client.close()


def test_the_limit_follows_an_import_of_meters(
    stores: Stores, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.bootstrap.telemetry_stream.FOLLOW_EVERY_S", 0.05)

    async def limit_becomes(client: Client, meters: int) -> None:
        wanted = LogCapacity(meters=meters, days=7).limit_bytes
        async with asyncio.timeout(ANSWER_S):
            while True:
                with suppress(nats.js.errors.NotFoundError):
                    if (await client.jetstream().stream_info(STREAM)).config.max_bytes == wanted:
                        return
                await asyncio.sleep(0.05)

    async def scenario() -> None:
        client, stop = await nats.connect(str(stores.settings.nats_url)), asyncio.Event()
        stream = telemetry_log(client, stores.settings, stores.listed_meters())
        following = asyncio.create_task(follow_meters(stream, stores, stop))
        try:
            await limit_becomes(client, 0)
            list_facility(database.admin_dsn, "fac-001", [f"m{n}" for n in range(100)])
            await limit_becomes(client, 100)
            list_facility(database.admin_dsn, "fac-002", ())
            await limit_becomes(client, 110)
        finally:
            stop.set()
            await following
            await client.close()

    asyncio.run(scenario())


def test_what_does_not_fit_is_said_once(
    stores: Stores, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.bootstrap.telemetry_stream.FOLLOW_EVERY_S", 0.01)
    list_facility(database.admin_dsn, "fac-001", [f"m{n}" for n in range(1_000)])

    async def rounds() -> None:
        client, stop = await nats.connect(str(stores.settings.nats_url)), asyncio.Event()
        stream = telemetry_log(client, stores.settings)  # a process that leaves the limit at 1 GiB
        fill, three_are_over = stream.fill, asyncio.Event()
        began = itertools.count()

        async def counted() -> StreamFill:
            if next(began) == 3:
                three_are_over.set()
            return await fill()

        monkeypatch.setattr(stream, "fill", counted)
        following = asyncio.create_task(follow_meters(stream, stores, stop))
        await asyncio.wait_for(three_are_over.wait(), ANSWER_S)
        stop.set()
        await following
        await client.close()

    with capture_logs() as lines:
        asyncio.run(rounds())
    said = [line["what"] for line in lines if line["event"] == "the telemetry log does not fit"]
    assert len(said) == 1
    assert "keeps about 0.3 days: 7 days of 1,000 meters take 19.8 GB" in said[0]
    result = check_telemetry_log(stores)
    assert (result.state, result.detail) == ("warning", said[0])


def test_an_alert_says_that_the_limit_follows_no_longer(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise OSError("the disk cannot be asked")

    monkeypatch.setattr("interfaces.bootstrap.kinds.ingest.follow_meters", fails)
    ingesting = replace(stores, settings=replace(stores.settings, mqtt_url="mqtt://127.0.0.1:1"))

    async def scenario() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(run_ingest(ingesting, stop))
        async with asyncio.timeout(ANSWER_S):
            while not (raised := await asyncio.to_thread(stores.alerts().listed)):  # noqa: ASYNC110 - a database
                await asyncio.sleep(0.05)
        assert [(one.name, one.subject) for one in raised] == [("side_task_failing", "telemetry log size")]
        stop.set()
        await running

    asyncio.run(scenario())


def test_the_doctor_says_how_large_the_log_is(stores: Stores) -> None:
    assert check_telemetry_log(stores).detail == "not created yet, for 7 days"

    async def create() -> None:
        client = await nats.connect(str(stores.settings.nats_url))
        await telemetry_log(client, stores.settings, stores.listed_meters()).ensure()
        await client.close()

    asyncio.run(create())
    result = check_telemetry_log(stores)
    assert (result.state, result.detail) == ("ok", "0.0 of 1.1 GB, for 7 days")


def test_a_disk_that_is_too_small_for_the_embedded_log_is_said(
    stores: Stores, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_facility(database.admin_dsn, "fac-001", [f"m{n}" for n in range(100)])
    usage = SimpleNamespace(free=1_500_000_000)
    monkeypatch.setattr("interfaces.bootstrap.telemetry_stream.shutil.disk_usage", lambda folder: usage)
    assert log_misfits(stores) == [], "the disk of another machine is not known"
    (tmp_path / "nats").mkdir()
    (misfit,) = log_misfits(stores)
    assert misfit.startswith("its disk has 1.5 GB for the telemetry log: 7 days of 100 meters take 2.0 GB")
    assert log_misfits(stores, held_bytes=500_000_000) == [], "what the log holds has its place already"
    shorter = replace(stores, settings=replace(stores.settings, telemetry_log_days=5))
    assert log_misfits(shorter) == []
