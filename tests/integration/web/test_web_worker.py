"""The web worker stops cleanly and reports a failed start."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from litestar import Litestar, get

from adapters.embedded.loopback import free_port
from interfaces.workers.web.server import THREADS, AddressTaken, listening, run
from tests.patience import ANSWER_S, END_S, START_S
from tests.servers import Database

ROOT = Path(__file__).parents[3]


def test_a_request_under_way_is_answered_before_the_worker_ends() -> None:
    begun = asyncio.Event()

    @get("/slow")
    async def slow() -> str:
        begun.set()
        await asyncio.sleep(0.3)
        return "done"

    async def scenario() -> str:
        stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            run(
                Litestar([slow], openapi_config=None),
                listener=listening("127.0.0.1", 0),
                stop=stop,
                started=started.set_result,
            )
        )
        url = await started
        async with httpx.AsyncClient(timeout=2 * ANSWER_S) as client:
            asking = asyncio.create_task(client.get(f"{url}/slow"))
            await begun.wait()
            stop.set()
            answer = (await asking).text
        await asyncio.wait_for(serving, END_S)
        return answer

    assert asyncio.run(scenario()) == "done"


def test_more_threads_work_at_once_than_asyncio_has_by_default() -> None:
    default = 6  # on two processors
    at_once, most, lock, more = 0, 0, threading.Lock(), threading.Event()

    def work() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            if most > default:
                more.set()
        more.wait(ANSWER_S)
        with lock:
            at_once -= 1

    @get("/work")
    async def in_a_thread() -> None:
        await asyncio.to_thread(work)

    async def scenario() -> None:
        stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
        app = Litestar([in_a_thread], openapi_config=None)
        serving = asyncio.create_task(
            run(app, listener=listening("127.0.0.1", 0), stop=stop, started=started.set_result)
        )
        url = await started
        async with httpx.AsyncClient(timeout=2 * ANSWER_S) as client:
            await asyncio.gather(*(client.get(f"{url}/work") for _ in range(40)))
        stop.set()
        await serving

    asyncio.run(scenario())
    assert default < most <= THREADS


def test_a_taken_address_is_reported() -> None:
    first = listening("127.0.0.1", 0)
    port = first.getsockname()[1]
    with pytest.raises(AddressTaken, match=f"127.0.0.1:{port}.*GRIDPROOF_HTTP_BIND"):
        listening("127.0.0.1", port)
    first.close()


def first_answer(client: httpx.Client, path: str, process: subprocess.Popen[bytes]) -> httpx.Response:
    """The first one of a process that is up: until then its address refuses, or says that it starts."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.ConnectError):
            answer = client.get(path)
            if answer.json()["status"] != "starting":
                return answer
        time.sleep(0.05)
    raise AssertionError(f"the process did not answer; exit code {process.poll()}")


def test_the_process_serves_and_ends_at_sigterm_even_with_a_connection_open(database: Database) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    environ |= {
        "GRIDPROOF_DATABASE_URL": database.app_dsn,
        "GRIDPROOF_HTTP_BIND": url.removeprefix("http://"),
    }
    process = subprocess.Popen([sys.executable, "-m", "interfaces.cli", "serve"], env=environ, cwd=ROOT)
    try:
        with httpx.Client(base_url=url, timeout=2 * ANSWER_S) as client:
            readiness = first_answer(client, "/ready", process)
            assert (readiness.status_code, readiness.json()["status"]) == (200, "ready")
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_S) == 0
    finally:
        process.kill()
        process.wait()
