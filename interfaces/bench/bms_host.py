"""The simulated BMSs in a process of their own, as the dispatch benchmark calls them.

Buildings, contract and answers are those of `interfaces.simulators`; the HTTP server is aiohttp's, whose parser is C:
on two cores a server that costs more than what is measured would be measured instead.
"""

from __future__ import annotations

import asyncio
import signal
from multiprocessing.connection import Connection

import uvloop
from aiohttp import web

from application.portfolio import FacilityEntry
from interfaces.simulators.bms_answers import XmlAnswer
from interfaces.simulators.bms_server import BmsServer
from interfaces.simulators.building import Building

BACKLOG = 1_024


def host(entries: tuple[FacilityEntry, ...], answer_delay_s: float, pipe: Connection) -> None:
    """Serves until SIGTERM; sends its port."""
    uvloop.run(_serve(entries, answer_delay_s, pipe))


async def _serve(entries: tuple[FacilityEntry, ...], answer_delay_s: float, pipe: Connection) -> None:
    from interfaces.bootstrap import clock_of
    from interfaces.settings import Settings

    buildings = {entry.facility_id: Building.of(entry, record=lambda _: None) for entry in entries}
    server = BmsServer(buildings, clock=clock_of(Settings()), answer_delay_s=answer_delay_s)

    async def answer(request: web.Request) -> web.Response:
        building = server.building(request.match_info["facility_id"])
        found = await server.answer(building, await request.read())
        if not isinstance(found, XmlAnswer):
            raise web.HTTPBadGateway
        return web.Response(body=found.body, status=found.status, content_type="text/xml", charset="utf-8")

    app = web.Application()
    app.router.add_post("/buildings/{facility_id}/bms", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG)
    await site.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pipe.send(runner.addresses[0][1])
    await stop.wait()
    await runner.cleanup()
