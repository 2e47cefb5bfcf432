"""Hosts the simulated BMSs of the dispatch benchmark in a separate process, with one port per BMS.

Buildings, contract and answers are those of `interfaces.simulators`. The HTTP server is minimal: on two cores a more
expensive server would dominate the measurement.
"""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from application.facility.portfolio_entries import FacilityEntry
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.responses import XmlAnswer
from interfaces.simulators.bms.server import BmsServer

_END_OF_HEAD, _LENGTH, _COMMIT = b"\r\n\r\n", b"content-length:", b"CommitCommand"


def host(
    entries: tuple[FacilityEntry, ...], answer_delay_s: float, hanging: frozenset[str], pipe: Connection
) -> None:
    """Serves until SIGTERM; sends the port of each building. Those of `hanging` are prepared, and never answer a
    commit."""
    uvloop.run(_serve(entries, answer_delay_s, hanging, pipe))


class Exchanges(asyncio.Protocol):
    """Handles sequential POST requests on a keep-alive connection."""

    def __init__(self, server: BmsServer, building: Building, *, hangs: bool) -> None:
        self._server = server
        self._building = building
        self._hangs = hangs
        self._received = bytearray()
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(_END_OF_HEAD)
        if end and len(rest) >= (length := _length(head)):
            self._received = rest[length:]
            self._answering = asyncio.create_task(self._answer(bytes(rest[:length])))

    async def _answer(self, body: bytes) -> None:
        if self._hangs and _COMMIT in body:
            return
        found = await self._server.answer(self._building, body)
        if self._transport.is_closing():
            return
        if isinstance(found, XmlAnswer):
            head = f"HTTP/1.1 {found.status} -\r\nContent-Type: text/xml\r\nContent-Length: {len(found.body)}\r\n\r\n"
            self._transport.write(head.encode() + found.body)
        else:
            self._transport.close()


def _length(head: bytearray) -> int:
    """The Content-Length of a request."""
    _, _, after = head.lower().partition(_LENGTH)
    return int(after.partition(b"\r\n")[0])


async def _serve(
    entries: tuple[FacilityEntry, ...], answer_delay_s: float, hanging: frozenset[str], pipe: Connection
) -> None:
    from interfaces.bootstrap import clock_of
    from interfaces.settings.settings import Settings

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    buildings = {entry.facility_id: Building.of(entry, record=lambda _: None) for entry in entries}
    server = BmsServer(buildings, clock=clock_of(Settings()), answer_delay_s=answer_delay_s)
    listening = {
        facility_id: await loop.create_server(
            partial(Exchanges, server, building, hangs=facility_id in hanging), "127.0.0.1", 0
        )
        for facility_id, building in buildings.items()
    }
    pipe.send({facility_id: found.sockets[0].getsockname()[1] for facility_id, found in listening.items()})
    await stop.wait()
