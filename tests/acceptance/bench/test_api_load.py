"""The load generator of the api benchmark against servers that drop connections: what it waits for and counts."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress

import pytest

from tests.bench.api.load import ANSWERED_WITHIN_S, LoadPlan, LoadReport, loaded

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
Serve = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(ANSWER)


def report_of(serve: Serve, *, connections: int = 4, rate_per_s: float | None = None) -> LoadReport:
    """The report of a short load on a server that handles connections by `serve`, each with its number."""

    async def measured() -> LoadReport:
        numbers = iter(range(connections))

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionResetError):
                await serve(next(numbers), reader, writer)  # until the load is over

        async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
            return await loaded(
                LoadPlan(
                    ports=(server.sockets[0].getsockname()[1],),
                    tokens=("token",),
                    paths=("/path",),
                    first=0,
                    seconds=0.2,
                    connections=connections,
                    rate_per_s=rate_per_s,
                )
            )

    return asyncio.run(measured())


@pytest.mark.parametrize("rate_per_s", [None, 200.0], ids=["closed loop", "open loop"])
def test_a_lost_connection_is_counted_once_and_not_waited_for(rate_per_s: float | None) -> None:
    async def one_breaks_off(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if number > 0:
            await answering(reader, writer)
        await reader.readuntil(b"\r\n\r\n")

    report = report_of(one_breaks_off, rate_per_s=rate_per_s)

    assert report.statuses == {"200": report.answered, "connection lost": 1}
    assert report.answered > 0
    assert report.elapsed_s < ANSWERED_WITHIN_S
    if rate_per_s is not None:
        assert report.answered == int(0.2 * rate_per_s) - 1


def test_requests_without_a_remaining_connection_count_as_unanswered() -> None:
    async def breaks_off(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    report = report_of(breaks_off, connections=2, rate_per_s=100.0)

    assert report.statuses == {"connection lost": 2, "unanswered": 18}
    assert report.elapsed_s == pytest.approx(0.2)


def test_the_elapsed_time_excludes_the_wait_for_a_missing_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patience_s = 2.0
    monkeypatch.setattr("tests.bench.api.load.ANSWERED_WITHIN_S", patience_s)

    async def one_is_silent(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if number > 0:
            await answering(reader, writer)
        await reader.read()

    report = report_of(one_is_silent)

    assert report.statuses == {"200": report.answered, "unanswered": 1}
    assert report.elapsed_s < patience_s
