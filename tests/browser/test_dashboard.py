"""The page in a real browser: every view, axe over each, a cancellation, and what it says when it is offline."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.door import notification, running_door
from tests.chromium import Page, opened_page
from tests.servers import Database

AXE = Path(__file__).parent / "axe/axe.min.js"
SERIOUS = {"serious", "critical"}


async def signed_in(page: Page, key: str) -> None:
    await page.type("#key", key)
    await page.press("Enter")
    await page.until("Boolean(document.querySelector('.bar'))")


async def axe_findings(page: Page) -> list[str]:
    """What axe calls serious or critical, with where it is."""
    await page.value(AXE.read_text() + "; true")
    found = json.loads(await page.value("axe.run(document).then(r => JSON.stringify(r.violations))"))
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in SERIOUS]


def test_axe_finds_nothing_serious_in_any_view_light_or_dark(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    async def story(url: str, key: str, dr_event: str) -> None:
        async with opened_page(debian_command("chromium"), tmp_path, url) as page:
            assert await axe_findings(page) == []
            await signed_in(page, key)
            for address, shown in (
                ("#/portfolio", "Facilities by state"),
                ("#/dr-events", "UTIL-1"),
                (f"#/dr-events/{dr_event}", "Told to the utility"),
                ("#/facilities", "fac-001"),
                ("#/facilities/fac-001", "Zones"),
            ):
                await page.go(address)
                await page.shows(shown, "main")
                await page.until("!document.querySelector('main .skeleton')")
                for theme in ("light", "dark"):
                    await page.prefers(theme)
                    await page.until(f"document.documentElement.dataset.theme === '{theme}'")
                    assert await axe_findings(page) == [], (address, theme)

    with running_door(database) as door:
        answer = door.post(notification(event_id="UTIL-1"))
        door.project()
        key = door.header("admin")["Authorization"].removeprefix("Bearer ")
        asyncio.run(story(door.url, key, answer.json()["dr_event_id"]))


def test_an_operator_cancels_with_a_reason_and_an_outage_is_said_at_once(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    async def story(url: str, key: str, dr_event: str, project: Callable[[], None]) -> None:
        async with opened_page(debian_command("chromium"), tmp_path, url) as page:
            await signed_in(page, key)
            await page.go(f"#/dr-events/{dr_event}")
            await page.click("main button", "Cancel…")
            await page.shows("the utility is told", "dialog")
            assert await page.value("document.querySelector('dialog button[type=submit]').disabled")
            await page.type("dialog[open] textarea", "the grid is calm")
            await page.press("Escape")
            await page.until("!document.querySelector('dialog')")
            await page.click("main button", "Cancel…")
            await page.type("dialog[open] textarea", "the grid is calm")
            await page.until("document.querySelector('dialog button[type=submit]')?.disabled === false")
            await page.click("dialog button", "Cancel the DR event")
            await page.until("!document.querySelector('dialog')")
            await asyncio.to_thread(project)
            await page.offline(True)
            await page.go("#/dr-events")
            await page.shows("Offline.", ".banner")
            await page.offline(False)
            await page.until("!document.querySelector('.banner')")
            await page.shows("cancelled", "main table")

    with running_door(database) as door:
        answer = door.post(notification(event_id="UTIL-1"))
        door.project()
        key = door.header("operator")["Authorization"].removeprefix("Bearer ")
        asyncio.run(story(door.url, key, answer.json()["dr_event_id"], door.project))


def test_how_old_the_readings_are_is_seen_in_every_view_whoever_came_when(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    async def story(url: str, key: str) -> None:
        for visit in ("first", "second"):
            async with opened_page(
                debian_command("chromium"), tmp_path / visit, f"{url}/#/dr-events"
            ) as page:
                await signed_in(page, key)
                await page.shows("last readings", ".bar")

    with running_door(database) as door, door.pool.connection() as connection:
        connection.execute(
            "INSERT INTO telemetry_positions (partition, stream_seq, stored_at) VALUES (0, 1, now())"
        )
        connection.commit()
        key = door.header("dashboard")["Authorization"].removeprefix("Bearer ")
        asyncio.run(story(door.url, key))
