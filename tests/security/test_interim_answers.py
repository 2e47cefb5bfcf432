"""S1: an address that answers with endless interim answers (HTTP 103) does not keep a worker's event loop busy."""

import asyncio
from uuid import UUID

import aiohttp
import pytest

from adapters.bms.transport import BmsHttp, CallLimits
from adapters.bounded_connector import MOST_INTERIM, BoundedConnector
from adapters.callback import HttpUtilityNotifier
from adapters.clock import SystemClock
from application.facility.bms_networks import BmsNetworks
from application.ports.callback import CallbackFailed
from application.ports.dispatch.building_control import BmsTimedOut

INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 1\r\n\r\nx"
TOTAL_S = 60.0


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            writer.write(INTERIM * 100)
            await writer.drain()
    except ConnectionError:
        writer.close()


async def _some(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(INTERIM * MOST_INTERIM + LAST)
    await writer.drain()
    writer.close()


def test_a_bms_with_endless_interim_answers_ends_the_call() -> None:
    async def call() -> None:
        async with await asyncio.start_server(_endless, "127.0.0.1") as server:
            http = BmsHttp(BmsNetworks.of("127.0.0.0/8"))
            limits = CallLimits(connect_s=TOTAL_S, total_s=TOTAL_S, answer_bytes=100)
            with pytest.raises(BmsTimedOut, match="lost before the answer"):
                await http.post(_address(server), b"", {}, credentials=None, limits=limits)
            await http.aclose()

    asyncio.run(call())


def test_a_callback_address_with_endless_interim_answers_ends_the_call() -> None:
    async def call() -> None:
        async with await asyncio.start_server(_endless, "127.0.0.1") as server:
            notifier = HttpUtilityNotifier(clock=SystemClock(), secret_of=lambda _: None, allow_private=True)
            with pytest.raises(CallbackFailed, match="no HTTP answer"):
                await notifier.send("util-1", _address(server), "{}", UUID(int=1), "0" * 32)
            await notifier.aclose()

    asyncio.run(call())


def test_some_interim_answers_are_read_over() -> None:
    async def call() -> None:
        async with (
            await asyncio.start_server(_some, "127.0.0.1") as server,
            aiohttp.ClientSession(connector=BoundedConnector()) as session,
            session.get(_address(server)) as response,
        ):
            assert (response.status, await response.read()) == (200, b"x")

    asyncio.run(call())


def _address(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
