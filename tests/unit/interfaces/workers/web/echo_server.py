"""The HTTP server on a real socket, with an application whose answer depends on the request."""

import asyncio
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from interfaces.workers.web import server
from tests.patience import ANSWER_S, END_S

PIECE = b"x" * 16_384
GONE: dict[bytes, threading.Event] = defaultdict(threading.Event)
"""Set when the client that requested /late with that query has disconnected."""
MAY_END: dict[bytes, threading.Event] = defaultdict(threading.Event)
"""Set when /held may answer."""


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body."""
    if scope["type"] != "http":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await _disconnected(receive)
        GONE[scope["query_string"]].set()
        return
    if scope["path"] == "/held":
        await asyncio.to_thread(MAY_END[scope["query_string"]].wait, 20)
    if scope["path"] == "/refused":  # before the body arrives
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    if scope["path"] == "/pieces":  # for as long as the client is connected; sending waits for it to read
        await send({"type": "http.response.start", "status": 200, "headers": []})
        disconnect = asyncio.ensure_future(_disconnected(receive))
        while not disconnect.done():
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            await asyncio.sleep(0)
        return
    if scope["path"] == "/long":  # the body begins like a response head
        length = int(next(value for name, value in scope["headers"] if name == b"x-long"))
        headers = [(b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = b"HTTP/1.1 "[:length] + b"y" * (length - 9)
        await send({"type": "http.response.body", "body": body})
        return
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message["body"]), message["more_body"]
    if scope["path"] == "/headers":
        length = len(scope["headers"])
    body = b"%d bytes;" % length
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextmanager
def served(**options: Any) -> Iterator[tuple[str, int]]:
    """The address of a server with `echo`; `options` are those of `server.run`."""
    listener = server.listening("127.0.0.1", 0)
    ready, told = threading.Event(), dict[str, Any]()

    async def serve() -> None:
        told["stop"], told["loop"] = asyncio.Event(), asyncio.get_running_loop()
        await server.run(echo, listener=listener, stop=told["stop"], started=lambda _: ready.set(), **options)

    name: tuple[str, int] = listener.getsockname()
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(ANSWER_S)
    yield name
    told["loop"].call_soon_threadsafe(told["stop"].set)
    thread.join(END_S)
    assert not thread.is_alive()


def until_closed(address: tuple[str, int], *pieces: bytes, endless: bytes = b"") -> tuple[bytes, int]:
    """The response until the server closed the connection, and how many bytes of `endless` it read."""
    taken = 0
    with socket.create_connection(address, timeout=ANSWER_S) as connection:
        for piece in pieces:
            connection.sendall(piece)
        try:
            while endless and taken < 1_000 * len(endless):
                connection.sendall(endless)
                taken += len(endless)
        except ConnectionError:
            pass  # the server closed the connection
        answer = b""
        try:
            while received := connection.recv(65_536):
                answer += received
        except ConnectionResetError:
            pass  # the server closed with unread data
    return answer, taken
