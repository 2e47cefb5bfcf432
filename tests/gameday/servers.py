"""Cases of the servers: PostgreSQL, and the streams of NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from nats.js.api import StreamConfig

from adapters.nats.connection import connect
from adapters.nats.telemetry_stream import STREAM as TELEMETRY
from adapters.postgres.schema.worker_roles import COMMANDS
from tests.gameday.drill import Drill
from tests.gameday.registry import case

MOST_USED = 0.8
USED = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE usesysid IS NOT NULL),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""
EXPIRY = "gridproof.drop_idempotency_keys"


@case("use_up_connections", "connections_short", round=2)
def use_up_connections(drill: Drill) -> None:
    with ExitStack() as sessions:
        [(used, most)] = drill.as_owner(USED)
        for _ in range(int(MOST_USED * most) + 2 - used):
            sessions.enter_context(psycopg.connect(drill.address("MIGRATION_DATABASE_URL")))
        short = drill.fires("connections_short")
        drill.look_at("connections_short")
    drill.undo()
    drill.ends(short)


@case("revoke_right_of_expiry", "side_task_failing", round=2)
def revoke_right_of_expiry(drill: Drill) -> None:
    """It is called once an hour of the clock, and its error is neither an outage nor a refusal."""
    drill.as_owner(f"REVOKE EXECUTE ON FUNCTION {EXPIRY} FROM {COMMANDS}")
    try:
        failing = drill.fires("side_task_failing", "expiry of idempotency keys")
        drill.look_at("side_task_failing")
    finally:
        drill.as_owner(f"GRANT EXECUTE ON FUNCTION {EXPIRY} TO {COMMANDS}")
    drill.undo()
    drill.ends(failing)


@case("shrink_telemetry_log", "telemetry_backpressure", round=2)
def shrink_telemetry_log(drill: Drill) -> None:
    with _full(drill, TELEMETRY):
        pressed = drill.fires("telemetry_backpressure")
        drill.look_at("telemetry_backpressure")
    drill.undo()
    drill.ends(pressed)


@contextmanager
def _full(drill: Drill, stream: str) -> Iterator[None]:
    """The stream takes no more than it holds during the block."""
    before: StreamConfig = asyncio.run(_limited(drill.address("NATS_URL"), stream, None))
    try:
        yield
    finally:
        asyncio.run(_limited(drill.address("NATS_URL"), stream, before))


async def _limited(nats_url: str, stream: str, wanted: StreamConfig | None) -> Any:
    """Give it the configuration `wanted`, or the one in force with the limit of what it holds; returns the former."""
    client = await connect(nats_url, name="game-day")
    try:
        js = client.jetstream()
        there = await js.stream_info(stream)
        await js.update_stream(wanted or there.config.evolve(max_bytes=max(1, there.state.bytes)))
        return there.config
    finally:
        await client.close()
