"""The web worker: serves the HTTP API on uvicorn until it is told to stop."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import uvicorn
from litestar.types import ASGIApp

from interfaces.web.authentication.client_address import TrustedProxies
from interfaces.web.guard.bounded_protocol import IDLE_S, BoundedHttpProtocol
from interfaces.web.guard.connection_table import ConnectionTable
from interfaces.web.guard.platform_listener import PlatformApplication

THREADS = 64
"""Stores are synchronous. asyncio's default executor has six threads on two cores, too few for a group commit."""
THREADS_AFTERWARDS = 4
SWITCH_INTERVAL_S = 0.0005
"""For `sys.setswitchinterval`. While a thread decides a command, each send and receive of the event loop waits so long
for the interpreter lock, and a webhook request has several of them. The default is 5 ms."""
GRACE_S = 5.0
BACKLOG = 1_024
UNREAD_MS = 20_000
"""After this time the kernel closes a connection whose client acknowledges nothing."""
POLL_S = 0.02
PLATFORM_CONNECTIONS = 100
PLATFORM_PORTS = 10


class AddressTaken(RuntimeError):
    """The address cannot be listened on."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the caller of `run` decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`:`port` (0: a free one). Raises AddressTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for a socket declared as TCP; otherwise a response takes 40 ms longer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS
    )  # inherited by each connection
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise AddressTaken(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with GRIDPROOF_HTTP_BIND"
        ) from error
    return listener


def platform_listener(bind: str) -> socket.socket:
    """A socket on `bind`, or on the next free one of the ports after it. Raises AddressTaken."""
    host, _, port = bind.rpartition(":")
    for number in range(int(port), int(port) + PLATFORM_PORTS - 1):
        with contextlib.suppress(AddressTaken):
            return listening(host.strip("[]"), number)
    return listening(host.strip("[]"), int(port) + PLATFORM_PORTS - 1)


async def run(
    app: ASGIApp,
    *,
    listener: socket.socket,
    stop: asyncio.Event,
    started: Callable[[str], None] | None = None,
    end_streams: Callable[[], None] | None = None,
    connections: ConnectionTable | None = None,
    platform: socket.socket | None = None,
    proxies: TrustedProxies | None = None,
    served_over_https: bool = False,
) -> None:
    """Serve `app` on `listener` until `stop`; then finish the requests under way, within GRACE_S wall seconds.

    `started` is called with the URL once requests are answered. `end_streams` ends the streams, which would otherwise
    delay the end. `connections` bounds the open connections. On `platform` the routes for the platform are served by
    themselves, so that no client can take their connections. `X-Forwarded-For` and `X-Forwarded-Proto` count only from
    `proxies`; `served_over_https` says that requests without the latter came over https too.
    """
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="web")
    asyncio.get_running_loop().set_default_executor(executor)
    server = _server(
        app,
        ConnectionTable() if connections is None else connections,
        proxies=proxies or TrustedProxies(),
        served_over_https=served_over_https,
    )
    serving = {asyncio.create_task(server.serve(sockets=[listener]), name="serve http"): server}
    stopping = asyncio.create_task(stop.wait(), name="stop http")
    try:
        await _until_started(serving)
        if platform is not None:
            beside = _server(
                PlatformApplication(app), ConnectionTable(most=PLATFORM_CONNECTIONS), lifespan="off"
            )
            serving[asyncio.create_task(beside.serve(sockets=[platform]), name="serve platform")] = beside
            await _until_started(serving)
        if started is not None:
            host, port = listener.getsockname()[:2]
            started(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        await asyncio.wait({*serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if end_streams is not None:
            end_streams()
        for one in serving.values():
            one.should_exit = True
        await asyncio.gather(*serving)
        for taken in (listener, platform):
            if taken is not None:
                taken.close()
        # What ends after the server, such as its reports, may still use threads.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS_AFTERWARDS))
        executor.shutdown(wait=False, cancel_futures=True)
        sys.setswitchinterval(usual_s)


def _server(
    app: Any,
    connections: ConnectionTable,
    *,
    lifespan: Literal["on", "off"] = "on",
    proxies: TrustedProxies | None = None,
    served_over_https: bool = False,
) -> _Server:
    networks = [] if proxies is None else [str(network) for network in proxies.networks]
    members = {"table": connections, "served_over_https": served_over_https}
    return _Server(
        uvicorn.Config(
            app,
            http=type("Protocol", (BoundedHttpProtocol,), members),
            log_config=None,
            log_level="error",  # uvicorn warns of each malformed request, as often as anybody likes
            access_log=False,
            ws="none",
            lifespan=lifespan,
            server_header=False,
            proxy_headers=bool(networks),
            forwarded_allow_ips=networks,
            backlog=BACKLOG,
            timeout_keep_alive=int(IDLE_S),
            timeout_graceful_shutdown=int(GRACE_S),
        )
    )


async def _until_started(serving: dict[asyncio.Task[None], _Server]) -> None:
    for task, server in serving.items():
        while not server.started:
            if task.done():
                task.result()
                raise RuntimeError("the HTTP server ended while it started; see its log")
            await asyncio.sleep(POLL_S)
