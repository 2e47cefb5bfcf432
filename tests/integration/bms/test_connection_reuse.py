"""A connection serves consecutive calls of a building and is closed soon after the last."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adapters.bms import transport
from adapters.bms.transport import BmsHttp, CallLimits, HttpAnswer
from application.ports.dispatch.building_control import BmsTimedOut
from tests.sample_values import THIS_MACHINE

PATIENCE_S = 20.0
LIMITS = CallLimits(connect_s=5.0, total_s=10.0, answer_bytes=1_000)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>"


class Bms:
    """A BMS that counts connections and the calls on them. It can close a connection instead of a response."""

    def __init__(self) -> None:
        self.connections, self.open, self.calls = 0, 0, 0
        self.drops_call: int | None = None
        self.closed = asyncio.Event()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/bms"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections, self.open = self.connections + 1, self.open + 1
        try:
            while await reader.readuntil(b"</x>"):
                self.calls += 1
                if self.calls == self.drops_call:
                    break
                writer.write(ANSWER)
        except asyncio.IncompleteReadError:
            pass  # closed by the caller
        self.open -= 1
        self.closed.set()
        writer.close()


async def called(http: BmsHttp, address: str) -> HttpAnswer:
    return await http.post(address, b"<x></x>", {}, credentials=None, limits=LIMITS)


def run(scenario: Callable[[Bms, BmsHttp], Awaitable[None]]) -> None:
    async def in_time() -> None:
        http = BmsHttp(THIS_MACHINE)
        async with asyncio.timeout(PATIENCE_S):
            await scenario(Bms(), http)
            await http.aclose()

    asyncio.run(in_time())


def test_consecutive_zones_use_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "KEEPALIVE_S", 15.0)

    async def scenario(bms: Bms, http: BmsHttp) -> None:
        async with bms as address:
            for _ in range(3):
                assert (await called(http, address)).xml == b"<a/>"
        assert (bms.connections, bms.calls) == (1, 3)

    run(scenario)


def test_an_unused_connection_is_closed() -> None:
    async def scenario(bms: Bms, http: BmsHttp) -> None:
        async with bms as address:
            await called(http, address)
            await bms.closed.wait()
            assert bms.open == 0

    run(scenario)


def test_a_call_on_a_lost_reused_connection_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request may have arrived: the caller must query it."""
    monkeypatch.setattr(transport, "KEEPALIVE_S", 15.0)

    async def scenario(bms: Bms, http: BmsHttp) -> None:
        bms.drops_call = 2
        async with bms as address:
            await called(http, address)
            with pytest.raises(BmsTimedOut):
                await called(http, address)
            assert bms.calls == 2
            await called(http, address)
        assert (bms.connections, bms.calls) == (2, 3)

    run(scenario)
