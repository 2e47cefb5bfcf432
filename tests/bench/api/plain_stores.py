"""The plain stores that the floor of `bench api` and its FastAPI twin share.

Keys are looked up in PostgreSQL, cached as long as in the API, and compared in constant time. A key may read a
facility's current value once a second over all processes, checked in the same round trip as the value; other limits
are high and per process. A list is one statement, with rows as JSON made by PostgreSQL.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from application.access.api_keys import parse_token
from application.access.token_bucket import PerKeyRateLimiter
from application.ports.access.api_keys import ApiKey, StoredApiKey
from application.telemetry.cached_reader import FRESH_S
from interfaces.web.api.telemetry.current_value import STALE_AFTER_S
from interfaces.web.caching.lookup_cache import LOOKUP_FRESH_S
from interfaces.web.route_policy import READER
from projections.engine.cursors import cursor_after
from tests.bench.api.setup import PlainPlan

POOL_SIZE = 16
CURRENT_EVERY_MS = 1_000
READS_PER_S = 200.0
PAGE = 100
_NAMESPACE = "gridproof-plain:"
_KEY = """
SELECT key_id, role, utility_id, facility_id, created_at, revoked_at, secret_hash
FROM gridproof.api_keys WHERE key_id = %s
"""
_CURRENT = """
SELECT ts[1], kw[1] FROM gridproof.reading_chunks WHERE facility_id = %s AND quarter >= %s
ORDER BY quarter DESC, ts[1] DESC LIMIT 1
"""
_ROWS = """
SELECT sort_key, key, row::text FROM gridproof.{table}
WHERE generation = (SELECT generation FROM gridproof.projection_positions WHERE name = {name})
"""
_HEAD = "SELECT coalesce(max(notification_id), 0) FROM gridproof.demand_response_events"
_STREAMS = """
SELECT notification_id, topic, convert_from(state, 'UTF8') FROM gridproof.demand_response_events
WHERE originator_id = ANY(%s) ORDER BY notification_id
"""
_MENTIONED = """
SELECT notification_id, topic, convert_from(state, 'UTF8') FROM gridproof.demand_response_events
WHERE originator_id = ANY(%s) AND topic = ANY(%s) AND position(convert_to(%s, 'UTF8') IN state) > 0
ORDER BY notification_id
"""
Rows = list[tuple[Any, ...]]


class Refused(Exception):
    """The request is refused with an HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class CachedValue(msgspec.Struct, frozen=True, array_like=True):
    """A current value as it is stored in the cache."""

    kw: float | None
    measured_at: datetime
    read_at: datetime


class PlainStores:
    """The stores of one event loop, opened on first use."""

    def __init__(self, plan: PlainPlan) -> None:
        self._redis = Redis.from_url(plan.redis_url)
        self._pool = AsyncConnectionPool(
            plan.database_url, min_size=1, max_size=POOL_SIZE, open=False, kwargs={"autocommit": True}
        )
        self._keys: dict[str, tuple[float, StoredApiKey]] = {}
        self._rates = PerKeyRateLimiter(READS_PER_S)
        self._since = plan.readings_since
        self._fresh_s = -1.0 if plan.is_never_fresh else FRESH_S
        self._stories = {streams.dr_event_id: streams for streams in plan.dr_events}
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(CachedValue).decode

    async def open(self) -> None:
        await self._pool.open(wait=True)

    async def close(self) -> None:
        await self._pool.close()
        await self._redis.aclose()

    async def caller(self, authorization: str, *, is_limited: bool = True) -> ApiKey:
        """Raises Refused."""
        scheme, _, token = authorization.partition(" ")
        parsed = parse_token(token) if scheme == "Bearer" else None
        if parsed is None:
            raise Refused(401)
        stored = await self._stored(parsed[0])
        if stored is None or not stored.is_genuine(parsed[1], at=datetime.now(UTC)):
            raise Refused(401)
        if stored.api_key.role not in READER:
            raise Refused(403)
        if is_limited and self._rates.wait_s(stored.api_key.key_id) > 0:
            raise Refused(429)
        return stored.api_key

    async def _stored(self, key_id: str) -> StoredApiKey | None:
        looked_at, stored = self._keys.get(key_id, (float("-inf"), None))
        if time.monotonic() < looked_at + LOOKUP_FRESH_S:
            return stored
        found = await self._fetched(_KEY, (key_id,))
        if not found:
            return None
        names = ("key_id", "role", "utility_id", "facility_id", "created_at", "revoked_at")
        api_key = ApiKey(**dict(zip(names, found[0][:6], strict=True)))
        stored = StoredApiKey(api_key=api_key, secret_hash=bytes(found[0][6]))
        self._keys[key_id] = time.monotonic(), stored
        return stored

    async def current(self, api_key: ApiKey, facility_id: str) -> tuple[CachedValue, bool]:
        """The value, and whether it came from the cache. Raises Refused."""
        key = f"{_NAMESPACE}current:{facility_id}"
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(
                f"{_NAMESPACE}turns:{api_key.key_id}/{facility_id}", b"", nx=True, px=CURRENT_EVERY_MS
            )
            pipeline.get(key)
            is_its_turn, stored = await pipeline.execute()
        if not is_its_turn:
            raise Refused(429)
        now = datetime.now(UTC)
        if stored is not None:
            value = self._decode(stored)
            if (now - value.read_at).total_seconds() < self._fresh_s:
                return value, True
        found = await self._fetched(_CURRENT, (facility_id, self._since))
        if not found:
            raise Refused(404)
        value = CachedValue(kw=found[0][1], measured_at=found[0][0], read_at=now)
        await self._redis.set(key, self._encode(value), px=86_400_000)
        return value, False

    async def listed(self, name: str, *, newest_first: bool) -> tuple[Rows, str | None]:
        """The first page of a read model: (sort key, key, JSON) of each row, and the next cursor."""
        direction = "DESC" if newest_first else "ASC"
        ending = f"AND sort_key IS NOT NULL ORDER BY sort_key {direction}, key {direction} LIMIT {PAGE + 1}"
        found = await self._fetched(_of(name) + sql.SQL(ending), ())
        if len(found) <= PAGE:
            return found, None
        sort_key, key, _ = found[PAGE - 1]
        return found[:PAGE], cursor_after(name, sort_key, key)

    async def one(self, name: str, key: str) -> str:
        """A row as JSON. Raises Refused."""
        found = await self._fetched(_of(name) + sql.SQL("AND key = %s LIMIT 1"), (key,))
        if not found:
            raise Refused(404)
        return str(found[0][2])

    async def dr_event_rows(self, dr_event_id: UUID) -> tuple[int, Rows]:
        """The head of the log, and the domain events of a DR event: (position, topic, JSON)."""
        streams = self._stories[dr_event_id]
        async with self._pool.connection() as connection, connection.pipeline():
            head = await connection.execute(_HEAD)
            own = await connection.execute(_STREAMS, ([dr_event_id],))
            dispatches = await connection.execute(_STREAMS, (list(streams.dispatches),))
            facilities = await connection.execute(
                _MENTIONED,
                (
                    list(streams.facilities),
                    list(streams.facility_topics),
                    str(dr_event_id),
                ),
            )
            row = await head.fetchone()
            found = [row for part in (own, dispatches, facilities) for row in await part.fetchall()]
        return int(row[0]) if row else 0, sorted(found)

    async def _fetched(self, query: Any, values: Sequence[Any]) -> Rows:
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()


def is_stale(value: CachedValue, age_s: float) -> bool:
    return value.kw is None or age_s > STALE_AFTER_S


def _of(name: str) -> sql.Composed:
    return sql.SQL(_ROWS).format(table=sql.Identifier(f"rm_{name}"), name=sql.Literal(name))
