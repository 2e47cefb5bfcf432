"""GRIDPROOF_MQTT_URL and GRIDPROOF_REDIS_URL name two servers of which the first dies: the second is used."""

import asyncio
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from adapters.embedded import EmbeddedServers
from adapters.mqtt import MqttMeterFeed, check_login
from adapters.redis import connections, shared_cache
from adapters.redis.rate_limit import CachedRateLimiter
from adapters.redis.shared_cache import RedisSharedCache
from application.ports.shared_cache import CacheUnavailable
from interfaces.bootstrap.doctor import checks
from interfaces.bootstrap.health.readiness import _listening
from tests import servers
from tests.conftest import DebianCommand
from tests.frozen_process import freeze
from tests.integration.telemetry.feed_reader import Taken, eventually, publish, reading
from tests.integration.telemetry.mosquitto import LOCAL, Mosquitto
from tests.patience import ANSWER_S

NOBODY = "127.0.0.1:1"


def test_the_next_broker_is_read_when_one_dies(debian_command: DebianCommand, tmp_path: Path) -> None:
    first, second = (Mosquitto(debian_command("mosquitto"), tmp_path) for _ in range(2))
    url = f"mqtt://app:hunter2@{LOCAL}:{first.port}, mqtt://app:hunter2@{LOCAL}:{second.port}"

    async def scenario() -> None:
        feed, taken = MqttMeterFeed(url, client_id=f"ingest-{uuid4().hex}"), Taken()
        async with reading(feed, taken):
            await publish(first.port, [b"1"], client_id="meter")
            await eventually(lambda: taken.payloads == [b"1"])
            await asyncio.to_thread(first.kill)
            await asyncio.wait_for(_subscribed_anew(feed), ANSWER_S)
            await publish(second.port, [b"2"], client_id="meter")
            await eventually(lambda: taken.payloads == [b"1", b"2"])
            await asyncio.to_thread(second.kill)
            await asyncio.to_thread(first.start)
            await asyncio.wait_for(_subscribed_anew(feed), ANSWER_S)
            await publish(first.port, [b"3"], client_id="meter")
            await eventually(lambda: taken.payloads == [b"1", b"2", b"3"])
        async with reading(
            MqttMeterFeed(f"mqtt://{NOBODY},mqtt://{LOCAL}:{first.port}", client_id="new"), Taken()
        ):
            pass

    with ExitStack() as stack, capture_logs() as logs:
        for broker in (first, second):
            broker.start()
            stack.callback(broker.kill)
        asyncio.run(scenario())
        summary = asyncio.run(check_login(url, version="3.1.1", tls=None, client_id="doctor"))
    assert f"takes connections on port {first.port}" in summary
    assert f"{LOCAL}:{second.port} does not" in summary
    assert "hunter2" not in f"{logs}{summary}"


async def _subscribed_anew(feed: MqttMeterFeed) -> None:
    while feed.subscribed.is_set():  # noqa: ASYNC110 - a flag, which is cleared by the loss
        await asyncio.sleep(0.01)
    await feed.subscribed.wait()


def test_the_next_cache_is_used_when_one_dies_or_hangs_and_the_first_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "AWAY_S", 0.1)
    monkeypatch.setattr(shared_cache, "ANSWER_WITHIN_S", 1.0)
    monkeypatch.setattr(connections, "RETURN_AFTER_S", 0.1)

    async def scenario(first: EmbeddedServers, second: EmbeddedServers) -> None:
        now = [0.0]
        url = f"{first.redis_url},{second.redis_url}"
        cache = RedisSharedCache(url)
        limiter = CachedRateLimiter(0.001, redis_url=url, monotonic=lambda: now[0])

        async def stored_in(server: EmbeddedServers) -> None:
            """Until what `cache` stores can be read there."""
            direct = RedisSharedCache(server.redis_url)
            async with asyncio.timeout(ANSWER_S):
                while True:
                    key = uuid4().hex
                    try:
                        await cache.put_many({key: b"1"}, ttl_wall_s=60)
                        if await direct.get_many([key]) == [b"1"]:
                            break
                    except CacheUnavailable:  # its breaker is open for a while
                        await asyncio.sleep(0.2)
            await direct.aclose()

        await stored_in(first)
        assert (await limiter.hit("k")).allowed
        await asyncio.to_thread(first.valkey.kill)
        await stored_in(second)
        now[0] += 10
        assert (await limiter.hit("k")).allowed, "counted in the second cache"
        now[0] += 10
        assert not (await limiter.hit("k")).allowed
        assert not limiter.is_degraded
        await asyncio.to_thread(first.valkey.start)
        await stored_in(first)
        pid = first.valkey.pid
        assert pid is not None
        freeze(pid)  # it still takes connections
        await stored_in(second)
        await cache.aclose()
        await limiter.aclose()
        assert "does not answer" in await checks._cache(url)
        await _listening(f"redis://{NOBODY},{second.redis_url}")()

    with servers.valkey_server() as first, servers.valkey_server() as second, capture_logs() as logs:
        try:
            asyncio.run(scenario(first, second))
        finally:
            if first.valkey.pid is not None:
                os.kill(first.valkey.pid, signal.SIGCONT)
        password = first.redis_url.partition("@")[0].rpartition(":")[2]
    assert any(entry["event"].startswith("a cache does not answer") for entry in logs)
    assert password not in f"{logs}"
