"""Serves only the page's own files, for parts of the page that need no answers."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.chromium import ROOT, Page, opened_page

FILES = ROOT / "interfaces/web"
BLANK = "static/vendor/LICENSES.txt"
"""A document without any of the page's scripts."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def static_files() -> Iterator[str]:
    """The address of the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(FILES)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def blank_page(chromium: Path, folder: Path) -> AsyncGenerator[Page, None]:
    """An empty document of the page's own origin, in which a test draws; closed with the generator."""
    with static_files() as url:
        async with opened_page(chromium, folder, f"{url}/{BLANK}") as page:
            yield page


async def emptied(page: Page) -> None:
    """Reload the page, so that nothing is drawn and none of its scripts are loaded."""
    await page.value("window.isOld = true")
    await page.call("Page.reload")
    await page.until("!window.isOld && document.readyState === 'complete'")
