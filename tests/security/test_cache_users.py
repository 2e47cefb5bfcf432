"""M1: what each login of the embedded cache for a worker may do."""

import asyncio

import pytest
import redis

from adapters.embedded import EmbeddedServers
from adapters.embedded.valkey import cache_user
from adapters.redis.rate_limit import CachedRateLimiter
from adapters.redis.shared_cache import RedisSharedCache

WORKERS = ("web", "aggregate", "compute")


def test_each_worker_uses_its_own_keys_and_administers_nothing(valkey_server: EmbeddedServers) -> None:
    expected = {
        ("SET", "gridproof:answers:x", "1"): {"web", "aggregate", "compute"},
        ("SET", "gridproof:s1:answers:x", "1"): {"web", "aggregate", "compute"},
        ("SET", "gridproof:s1:weather-quota", "1"): {"web", "compute"},
        ("SET", "gridproof:s1:turns:x", "1"): {"web"},
        ("SET", "gridproof:turns:x", "1"): {"web"},
        ("SET", "gridproof:weather-quota:x", "1"): {"web", "compute"},
        ("FLUSHALL",): set(),
        ("CONFIG", "GET", "*"): set(),
        ("ACL", "LIST"): set(),
        ("KEYS", "*"): set(),
        ("SHUTDOWN",): set(),
    }
    allowed: dict[tuple[str, ...], set[str]] = {command: set() for command in expected}
    for worker in WORKERS:
        with redis.Redis.from_url(valkey_server.worker_redis_url(worker)) as client:
            for command in expected:
                try:
                    client.execute_command(*command)
                except redis.exceptions.NoPermissionError:
                    continue
                allowed[command].add(worker)
    with redis.Redis.from_url(valkey_server.redis_url) as client:
        client.delete(*(command[1] for command in expected if command[0] == "SET"))
    assert allowed == expected


def test_limits_and_the_shared_cache_work_with_the_rights_of_their_workers(
    valkey_server: EmbeddedServers,
) -> None:
    async def scenario() -> None:
        limiter = CachedRateLimiter(0.01, redis_url=valkey_server.worker_redis_url("web"), namespace="rights")
        assert (await limiter.hit("key")).allowed
        assert not (await limiter.hit("key")).allowed
        assert not limiter.is_degraded
        writer = RedisSharedCache(valkey_server.worker_redis_url("aggregate"))
        reader = RedisSharedCache(valkey_server.worker_redis_url("web"))
        await writer.put_many({"rights": b"value"}, ttl_wall_s=60)
        assert await reader.get_many(["rights"]) == [b"value"]
        await writer.aclose()
        await reader.aclose()

    asyncio.run(scenario())


def test_no_password_stands_in_the_configuration(valkey_server: EmbeddedServers) -> None:
    valkey = valkey_server.valkey
    configuration = (valkey.working_folder() / "valkey.conf").read_text(encoding="utf-8")
    for user in ("valkey", *map(cache_user, WORKERS)):
        assert valkey.data.password(user) not in configuration
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=valkey.ports["valkey"]).ping()
