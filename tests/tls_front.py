"""TLS in front of a server that speaks none, as a reverse proxy or a load balancer puts it."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from tests.tls_certificates import Authority, CertificateFiles

WITHIN_S = 60.0
SSL_REQUEST_BYTES = 8


@contextmanager
def loop_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WITHIN_S)
        loop.close()


def tls_front(target: int, files: CertificateFiles) -> AbstractContextManager[int]:
    """Ends TLS and passes the bytes on to the loopback port `target`; yields its own port."""
    return _passing(target, outside=files.context(), inside=None)


def postgresql_tls_front(target: int, files: CertificateFiles) -> AbstractContextManager[int]:
    """The same for a PostgreSQL without TLS: first it answers the client's request for TLS, as one with TLS does."""
    return _passing(target, outside=files.context(), inside=None, answers_request=True)


def tls_behind(target: int, authority: Authority) -> AbstractContextManager[int]:
    """The other way: for a client that speaks no TLS to a server that does."""
    return _passing(target, outside=None, inside=ssl.create_default_context(cafile=authority.file))


@contextmanager
def _passing(
    target: int,
    *,
    outside: ssl.SSLContext | None,
    inside: ssl.SSLContext | None,
    answers_request: bool = False,
) -> Iterator[int]:
    async def serve() -> asyncio.Server:
        at_once = None if answers_request else outside
        return await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=at_once)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if answers_request and outside is not None:
                await reader.readexactly(SSL_REQUEST_BYTES)
                writer.write(b"S")
                await writer.start_tls(outside)
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target, ssl=inside)
            await asyncio.gather(_pipe(reader, inner_writer), _pipe(inner_reader, writer))

    with loop_thread() as loop:
        server = asyncio.run_coroutine_threadsafe(serve(), loop).result(WITHIN_S)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(_end(server), loop).result(WITHIN_S)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass  # the other end is told by the close below
    finally:
        writer.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    own = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not own]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
