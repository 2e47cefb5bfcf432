"""The floor of `bench webhook`: a Litestar route on the same server that answers 202 and does nothing else."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop
from litestar import Litestar, Request, Response, post

from interfaces.workers.web import server


@post("/", status_code=202)
async def take(request: Request) -> Response[bytes]:  # type: ignore[type-arg]
    await request.body()
    return Response(b"{}", status_code=202, media_type="application/json")


async def _main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = Litestar([take], logging_config=None, openapi_config=None)
    listener = server.listening("127.0.0.1", int(sys.argv[1]))
    await server.run(app, listener=listener, stop=stop)


if __name__ == "__main__":
    uvloop.run(_main())
