"""The dashboard in a real browser: it shows what is recorded, as text, and loads nothing from elsewhere."""

import asyncio
import base64
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance.door import day, notification, running_door
from tests.servers import Database

DEADLINE_S = 60.0


class Page:
    """One tab of a browser, over the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []
        """What the browser said against the page: errors, refusals of its policy."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=DEADLINE_S)
            if message.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}:
                self.complaints.append(str(message["params"]))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])

    async def value(self, expression: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not await self.value(expression):  # noqa: ASYNC110 - the browser is asked, it does not tell
                await asyncio.sleep(0.05)


@asynccontextmanager
async def opened_page(chromium: Path, folder: Path, url: str) -> AsyncIterator[Page]:
    """A fresh browser on `url`; it picks its own debugging port and writes it down."""
    arguments = [
        str(chromium),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
    ]
    arguments += [
        f"--user-data-dir={folder}",
        "--no-first-run",
        "--disable-background-networking",
        "about:blank",
    ]
    browser = await asyncio.to_thread(
        subprocess.Popen, arguments, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)}
    )
    try:
        port_file = folder / "DevToolsActivePort"
        async with asyncio.timeout(DEADLINE_S):
            while not port_file.exists() or "\n" not in port_file.read_text():  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.05)
        port = port_file.read_text().split("\n")[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as response:
                tabs = await response.json(content_type=None)
            target = next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"]
            async with session.ws_connect(target, max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Log", "Page", "Runtime"):
                    await page.call(f"{domain}.enable")
                await page.call("Page.navigate", url=url)
                await page.until("document.readyState === 'complete' && location.href !== 'about:blank'")
                yield page
    finally:
        browser.terminate()
        browser.wait(20)


def test_a_person_with_a_key_sees_the_dr_events_as_text(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    hostile = "<img src=x onerror=document.title='owned'>"

    async def story(url: str, key: str) -> None:
        async with opened_page(debian_command("chromium"), tmp_path, url) as page:
            assert await page.value("document.getElementById('board').hidden")
            await page.value(f"document.getElementById('key').value = '{key}'")
            await page.value("document.querySelector('#key-form button').click()")
            await page.until("document.querySelectorAll('#dr-events tr').length === 2")
            shown = await page.value("document.getElementById('dr-events').textContent")
            assert hostile in shown
            assert "accepted" in shown
            assert await page.value("document.querySelectorAll('#dr-events img').length") == 0
            assert await page.value("document.title") == "Gridproof"
            assert "9 of 10" in await page.value("document.getElementById('portfolio').textContent")
            picture = await page.call("Page.captureScreenshot")
            (tmp_path / "dashboard.png").write_bytes(base64.b64decode(picture["data"]))
            await page.value("document.querySelector('#forget').click()")
            assert await page.value("document.getElementById('board').hidden")
            assert await page.value("sessionStorage.length") == 0
            assert page.complaints == []

    with running_door(database) as door:
        assert door.post(notification(event_id=hostile)).status_code == 202
        assert door.post(notification(starts_at=day(3), facility_ids=["fac-404"])).status_code == 422
        door.project()
        key = door.header("dashboard")["Authorization"].removeprefix("Bearer ")
        asyncio.run(story(door.url, key))


def test_a_wrong_key_is_forgotten_with_the_reason(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    async def story(url: str) -> None:
        async with opened_page(debian_command("chromium"), tmp_path, url) as page:
            await page.value("document.getElementById('key').value = 'gpk_000000000000_wrong'")
            await page.value("document.querySelector('#key-form button').click()")
            await page.until("document.getElementById('state').className === 'bad'")
            assert "no valid API key" in await page.value("document.getElementById('state').textContent")
            assert await page.value("sessionStorage.length") == 0

    with running_door(database) as door:
        asyncio.run(story(door.url))
