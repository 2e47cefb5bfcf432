"""The lag monitor of the watch worker on real servers, without an aggregate worker."""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from typing import cast

import pytest

from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession
from application.telemetry.lag import LEVELS_S
from domain.telemetry.meter_reading import MALFORMED
from interfaces.bootstrap.monitors import watch_lag
from interfaces.bootstrap.stores import open_stores
from interfaces.settings.settings import read_settings
from interfaces.workers.watch import telemetry_lag_monitor
from tests.integration.telemetry.conftest import TelemetryPath, eventually
from tests.patience import ANSWER_S


def settings(path: TelemetryPath, nats_url: str) -> Mapping[str, str]:
    return {"GRIDPROOF_DATABASE_URL": path.database.app_dsn, "GRIDPROOF_NATS_URL": nats_url}


async def end(watching: asyncio.Task[None], stop: asyncio.Event) -> None:
    stop.set()
    await asyncio.wait_for(watching, ANSWER_S)


def test_messages_without_a_worker_raise_an_alert_until_one_runs(
    path: TelemetryPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_lag_monitor, "CHECK_EVERY_S", 0.1)
    monkeypatch.setitem(cast("dict[str, float]", LEVELS_S), "telemetry_lag", 0.5)
    stores = open_stores(read_settings(settings(path, path.servers.nats_url)), pool_size=2)
    alert = ("telemetry_lag", f"partition {MALFORMED}")

    def lag_alerts() -> set[tuple[str, str]]:
        return {(one.name, one.subject) for one in stores.alerts().listed()}

    async def scenario() -> None:
        stop = asyncio.Event()
        async with path.stream() as stream:
            watching = asyncio.create_task(
                watch_lag(stores, AdvisoryLocks(LockSession(stores.database_url)), stop)
            )
            await stream.publish(MALFORMED, b"nobody takes it", message_id="one")
            await eventually(lambda: alert in lag_alerts())
            async with path.aggregating(stream):
                await eventually(lambda: not lag_alerts())
            await end(watching, stop)

    with closing(stores):
        asyncio.run(scenario())


def test_the_monitor_waits_for_an_absent_log_until_it_is_stopped(path: TelemetryPath) -> None:
    stores = open_stores(read_settings(settings(path, "nats://127.0.0.1:1")), pool_size=2)

    async def scenario() -> None:
        stop = asyncio.Event()
        watching = asyncio.create_task(
            watch_lag(stores, AdvisoryLocks(LockSession(stores.database_url)), stop)
        )
        await asyncio.sleep(0.3)
        assert not watching.done()
        await end(watching, stop)

    with closing(stores):
        asyncio.run(scenario())
