"""Network behavior during a callback: names that become private, redirects, slow and endless responses."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from adapters.callback import BREAKER_FAILURES, HttpUtilityNotifier, check_public
from application.ports.callback import (
    CallbackAccepted,
    CallbackAddressRefused,
    CallbackFailed,
    CallbackRefused,
)

NOW = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
CALLBACK_ID = UUID("7d444840-9dc0-41d1-b245-5ffdce74fad2")
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


class QuickClock:
    """A clock so fast that every time-out has its minimum of one wall second."""

    def now(self) -> datetime:
        return NOW

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / 1_000


@dataclass
class TurningResolver(AbstractResolver):
    """A resolver whose addresses change between queries, as in DNS rebinding."""

    answers: list[str]
    asked: int = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
        ]

    async def close(self) -> None:
        return


@dataclass
class RawServer:
    """A server that answers every connection with a given response, byte by byte if needed."""

    answer: Callable[[asyncio.StreamWriter], Awaitable[None]]
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["RawServer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        self.requests.append(head + await reader.readexactly(length))
        try:
            await self.answer(writer)
        except ConnectionError:
            pass  # closed by the caller
        finally:
            writer.close()


def answering(text: str) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode())
        await writer.drain()

    return answer


def notifier(
    *, allow_private: bool = True, resolver: AbstractResolver | None = None, concurrent_calls: int = 32
) -> HttpUtilityNotifier:
    return HttpUtilityNotifier(
        clock=QuickClock(),
        secret_of=lambda _: b"secret",
        allow_private=allow_private,
        ports=range(1, 65_536),
        resolver=resolver,
        concurrent_calls=concurrent_calls,
    )


async def send(sender: HttpUtilityNotifier, url: str) -> CallbackAccepted:
    return await sender.send("city-power", url, "{}", CALLBACK_ID, TRACE_ID)


OK = answering("HTTP/1.1 204 No Content\r\n\r\n")


def test_the_call_carries_the_id_the_trace_and_the_signature() -> None:
    async def scenario() -> None:
        async with RawServer(OK).listening() as server:
            assert await send(notifier(), f"http://127.0.0.1:{server.port}/in?x=1") == CallbackAccepted(
                status_code=204
            )
            [request] = server.requests
        head, _, body = request.decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        assert lines[0] == "POST /in?x=1 HTTP/1.1"
        assert headers["x-callback-id"] == str(CALLBACK_ID)
        assert headers["traceparent"] == f"00-{TRACE_ID}-7d4448409dc041d1-01"
        assert headers["x-signature"].startswith(f"t={int(NOW.timestamp())},v1=")
        assert headers["content-type"] == "application/json"
        assert body == "{}"

    asyncio.run(scenario())


def test_a_name_that_resolves_to_a_private_address_is_not_connected_to() -> None:
    async def scenario() -> None:
        async with RawServer(OK).listening() as server:
            resolver = TurningResolver(["127.0.0.1"])
            with pytest.raises(CallbackAddressRefused, match=r"127\.0\.0\.1"):
                await send(
                    notifier(allow_private=False, resolver=resolver), f"http://u.example:{server.port}/"
                )
            assert (resolver.asked, server.requests) == (1, [])

    asyncio.run(scenario())


def test_the_checked_address_is_the_called_address() -> None:
    """A resolver that returns a public address first and a private one afterwards is queried only once for each
    call."""

    async def scenario() -> None:
        async with RawServer(OK).listening() as server:
            resolver = TurningResolver(["192.0.2.1", "127.0.0.1"])
            sender = notifier(allow_private=True, resolver=resolver)
            with pytest.raises(CallbackFailed):  # 192.0.2.1 is a documentation address without a host
                await send(sender, f"http://u.example:{server.port}/")
            assert (resolver.asked, server.requests) == (1, [])

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "127.1", "0x7f000001", "2130706433", "localhost",
    ],
)  # fmt: skip
def test_no_notation_of_a_private_address_is_called(host: str) -> None:
    async def scenario() -> None:
        async with RawServer(OK).listening() as server:
            with pytest.raises(CallbackAddressRefused):
                await send(notifier(allow_private=False), f"http://{host}:{server.port}/")
            assert server.requests == []

    asyncio.run(scenario())


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111"])
def test_public_addresses_pass(address: str) -> None:
    check_public(ipaddress.ip_address(address))


def test_a_redirect_is_not_followed() -> None:
    async def scenario() -> None:
        async with RawServer(OK).listening() as target:
            away = answering(
                f"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{target.port}/\r\nContent-Length: 0\r\n\r\n"
            )
            async with RawServer(away).listening() as server:
                with pytest.raises(CallbackRefused) as refused:
                    await send(notifier(), f"http://127.0.0.1:{server.port}/")
            assert refused.value.status_code == 307
            assert target.requests == []

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_temporary_error_status_is_not_a_refusal(status: int) -> None:
    async def scenario() -> None:
        async with RawServer(
            answering(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")
        ).listening() as server:
            with pytest.raises(CallbackFailed, match=str(status)):
                await send(notifier(), f"http://127.0.0.1:{server.port}/")

    asyncio.run(scenario())


def test_the_text_of_a_refusal_is_shortened_to_plain_text() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 422 No\r\nContent-Length: 99999999\r\n\r\nno\x1b[31m such event")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async def scenario() -> None:
        async with RawServer(endless).listening() as server:
            with pytest.raises(CallbackRefused) as refused:
                await send(notifier(), f"http://127.0.0.1:{server.port}/")
        assert str(refused.value).startswith("HTTP 422: no [31m such event")
        assert len(str(refused.value)) < 250

    asyncio.run(scenario())


def test_a_slowly_dripping_answer_is_cut_off_at_the_time_limit() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 1_000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    async def scenario() -> None:
        async with RawServer(drip).listening() as server:
            with pytest.raises(CallbackFailed, match="within the limit"):
                await send(notifier(), f"http://127.0.0.1:{server.port}/")

    asyncio.run(scenario())


def test_the_breaker_opens_for_a_failing_host_only() -> None:
    async def scenario() -> None:
        down = answering("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
        async with RawServer(down).listening() as server, RawServer(OK).listening() as other:
            sender = notifier()
            for _ in range(BREAKER_FAILURES):
                with pytest.raises(CallbackFailed, match="HTTP 500"):
                    await send(sender, f"http://127.0.0.1:{server.port}/")
            with pytest.raises(CallbackFailed, match="breaker open"):
                await send(sender, f"http://127.0.0.1:{server.port}/")
            assert len(server.requests) == BREAKER_FAILURES
            assert (await send(sender, f"http://127.0.0.1:{other.port}/")).status_code == 204

    asyncio.run(scenario())


def test_the_number_of_concurrent_calls_is_limited() -> None:
    async def scenario() -> None:
        waiting = asyncio.Event()
        out = most = 0

        async def slow(writer: asyncio.StreamWriter) -> None:
            nonlocal out, most
            out += 1
            most = max(most, out)
            if out == 2:
                waiting.set()
            await waiting.wait()
            out -= 1
            await OK(writer)

        async with RawServer(slow).listening() as server:
            sender = notifier(concurrent_calls=2)
            calls = [send(sender, f"http://127.0.0.1:{server.port}/") for _ in range(6)]
            told = await asyncio.gather(*calls)
        assert {answer.status_code for answer in told} == {204}
        assert most == 2

    asyncio.run(scenario())
