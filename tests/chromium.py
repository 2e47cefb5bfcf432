"""A real browser over its DevTools protocol: Debian's chromium, without a driver."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.patience import ANSWER_S, END_S

ROOT = Path(__file__).resolve().parent.parent
SCREENSHOTS = ROOT / os.environ.get("SCREENSHOTS", "build/screenshots")
"""The folder for screenshots; an absolute path is used as it is."""
AXE = ROOT / "tests/browser/axe/axe.min.js"
SERIOUS = {"serious", "critical"}
KEYS = {
    "Enter": 13,
    "Tab": 9,
    "Escape": 27,
    "Space": 32,
    "ArrowLeft": 37,
    "ArrowRight": 39,
    "Home": 36,
    "End": 35,
}
TEXTS = {"Enter": "\r", "Space": " "}
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)


class Page:
    """A browser tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []
        """Errors of the page and violations of its policy, as reported by the browser."""
        self.requested: list[str] = []
        """The URL of every request of the page."""
        self.received: dict[str, int] = {}
        """Request id -> bytes of its body, before any compression."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=ANSWER_S)
            self._hear(message)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])

    def _hear(self, message: dict[str, Any]) -> None:
        method, parameters = message.get("method"), message.get("params", {})
        if method in {"Log.entryAdded", "Runtime.exceptionThrown"}:
            self.complaints.append(str(parameters))
        elif method == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])
        elif method == "Network.dataReceived":
            request_id = parameters["requestId"]
            self.received[request_id] = self.received.get(request_id, 0) + int(parameters["dataLength"])

    async def value(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                while not await self.value(expression):  # noqa: ASYNC110 - the browser is polled
                    await asyncio.sleep(0.05)
        except TimeoutError:
            shown = await self.value(
                "(document.querySelector('dialog') || document.body).innerText.slice(0, 2000)"
            )
            raise AssertionError(
                f"not within {ANSWER_S:g} s: {expression}\nthe page shows: {shown}"
            ) from None

    async def shows(self, text: str, where: str = "body") -> None:
        """Wait until `text` is visible there."""
        selector, wanted = json.dumps(where), json.dumps(text)
        await self.until(f"document.querySelector({selector})?.innerText.includes({wanted}) ?? false")

    async def go(self, address: str) -> None:
        """Open another view of the page by its hash."""
        await self.value(f"location.hash = {json.dumps(address)}")

    async def click(self, selector: str, text: str = "") -> None:
        """Click the first element of `selector` that contains `text`."""
        all_of = f"[...document.querySelectorAll({json.dumps(selector)})]"
        found = f"{all_of}.find(element => element.textContent.includes({json.dumps(text)}))"
        await self.until(f"Boolean({found})")
        await self.value(f"{found}.click()")

    async def type(self, selector: str, text: str) -> None:
        """Type into a field, once the browser has drawn it: a person does not focus it before `autofocus` does."""
        await self.until(f"Boolean(document.querySelector({json.dumps(selector)}))")
        await self.value("new Promise(requestAnimationFrame)")
        await self.value(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        common = {
            "key": TEXTS[key] if key == "Space" else key,
            "code": key,
            "windowsVirtualKeyCode": KEYS[key],
        }
        text = {"text": TEXTS[key]} if key in TEXTS else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def size(self, width: int, height: int, *, scale: float = 1.0) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )

    async def sign_in(self, key: str) -> None:
        await self.type("#key", key)
        await self.press("Enter")
        await self.until("Boolean(document.querySelector('.bar'))")

    async def prefers(self, theme: str) -> None:
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await self.call("Emulation.setEmulatedMedia", features=features)
        await self.until(f"(document.documentElement.dataset.theme ?? '{theme}') === '{theme}'")

    async def axe_findings(self) -> list[str]:
        """The serious and critical findings of axe, with their elements."""
        if not await self.value("Boolean(window.axe)"):
            await self.value(AXE.read_text() + "; true")
        found = json.loads(await self.value("axe.run(document).then(r => JSON.stringify(r.violations))"))
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in SERIOUS]

    async def offline(self, is_offline: bool) -> None:
        await self.call(
            "Network.emulateNetworkConditions",
            offline=is_offline,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    async def keep_picture(self, name: str, *, quality: int = 72) -> Path:
        """Save a screenshot as SCREENSHOTS/name.webp."""
        shot = await self.call("Page.captureScreenshot", format="webp", quality=quality)
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.webp"
        path.write_bytes(base64.b64decode(shot["data"]))
        return path


@asynccontextmanager
async def opened_page(chromium: Path, folder: Path, url: str) -> AsyncIterator[Page]:
    """A new browser on `url`; it chooses its own debugging port and writes it to a file."""
    browser = await asyncio.to_thread(
        subprocess.Popen,
        [str(chromium), *ARGUMENTS, f"--user-data-dir={folder}", "about:blank"],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        port_file = folder / "DevToolsActivePort"
        async with asyncio.timeout(ANSWER_S):
            while not port_file.exists() or "\n" not in port_file.read_text():  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.05)
        port = port_file.read_text().split("\n")[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as response:
                tabs = await response.json(content_type=None)
            target = next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"]
            async with session.ws_connect(target, max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Log", "Network", "Page", "Runtime"):
                    await page.call(f"{domain}.enable")
                await page.prefers("light")
                await page.call("Page.navigate", url=url)
                await page.until("document.readyState === 'complete' && location.href !== 'about:blank'")
                yield page
    finally:
        browser.terminate()
        with suppress(subprocess.TimeoutExpired):
            browser.wait(END_S)
        browser.kill()
