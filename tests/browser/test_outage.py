"""The page while PostgreSQL is down and the server is up: it reports the outage and reads again after it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.api.running_api import running_door
from tests.chromium import Page, opened_page
from tests.servers import Database, PostgresServer


def test_refused_reads_are_repeated_once_the_database_answers_again(
    database: Database,
    postgres_server: PostgresServer,
    tmp_path: Path,
    debian_command: Callable[[str], Path],
) -> None:
    async def scenario(page: Page, key: str) -> None:
        await page.sign_in(key)
        await page.shows("Live", ".bar")
        await page.shows("DR event", "main")
        await asyncio.to_thread(postgres_server.kill)
        try:
            await page.shows("The database does not answer", ".banner")
            await page.go("#/facilities")
            await page.shows("The page tries again by itself", "main .problem")
        finally:
            await asyncio.to_thread(postgres_server.start)
        await page.shows("fac-001", "main table")
        await page.until("!document.querySelector('.banner, main .problem')")
        await page.shows("Live", ".bar")

    async def whole(url: str, key: str) -> None:
        async with opened_page(debian_command("chromium"), tmp_path, f"{url}/#/dr-events") as page:
            await scenario(page, key)

    with running_door(database) as door:
        door.project()
        asyncio.run(whole(door.url, door.key("dashboard")))
