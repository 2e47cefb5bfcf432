"""Serves an ASGI application inside this process on a loopback port."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from litestar.types import ASGIApp

START_DEADLINE_S = 120.0
BACKLOG = 512


class PortTaken(RuntimeError):
    """The server cannot listen on the address."""


class _EmbeddedServer(uvicorn.Server):
    """uvicorn without its signal handlers: the host process decides when to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listening(bind: str) -> socket.socket:
    host, _, port = bind.rpartition(":")
    # With the protocol TCP set explicitly; else asyncio leaves Nagle's algorithm on, which costs tens of ms per answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"cannot listen on {bind}: {error.strerror}; choose another port or 0 for a free one"
        ) from error
    return listener


@contextlib.asynccontextmanager
async def hosted(app: ASGIApp, bind: str) -> AsyncIterator[str]:
    """Serves `app` on `bind` (`HOST:PORT`, port 0: a free one); yields the URL once the server answers."""
    listener = _listening(bind)
    host, port = listener.getsockname()
    server = _EmbeddedServer(
        uvicorn.Config(
            app,
            log_level="critical",  # injected faults of a simulator are not errors of the host
            access_log=False,
            lifespan="on",
            backlog=BACKLOG,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]), name=f"serve {host}:{port}")
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            while not server.started:
                if serving.done():
                    raise RuntimeError(f"the server on {bind} ended while starting: {serving.exception()}")
                await asyncio.sleep(0.005)
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await serving
        listener.close()
