"""The dashboard in a real browser: it shows what is recorded, as text, and loads nothing from elsewhere."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.api.running_api import day, notification, running_door
from tests.chromium import opened_page
from tests.servers import Database


def test_a_person_with_a_key_sees_the_dr_events_as_text(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    hostile = "<img src=x onerror=document.title='owned'>"

    async def scenario(url: str, key: str) -> None:
        async with opened_page(debian_command("chromium"), tmp_path, url) as page:
            await page.type("#key", key)
            await page.press("Enter")
            await page.shows("9of 10")
            await page.go("#/dr-events")
            await page.until("document.querySelectorAll('main tbody tr:not(.below)').length === 2")
            assert hostile in await page.value("document.querySelector('main table').textContent")
            await page.shows("accepted", "main table")
            assert await page.value("document.querySelectorAll('main table img').length") == 0
            assert "owned" not in await page.value("document.title")
            await page.click("button[title='Sign out']")
            await page.shows("Sign in")
            assert await page.value("sessionStorage.length") == 0
            assert {address.split("/")[2] for address in page.requested} == {url.split("/")[2]}
            assert [
                one for one in page.complaints if "Content Security Policy" in one or "exception" in one
            ] == []

    with running_door(database) as door:
        assert door.post(notification(event_id=hostile)).status_code == 202
        assert door.post(notification(starts_at=day(3), facility_ids=["fac-404"])).status_code == 422
        door.project()
        key = door.key("dashboard")
        asyncio.run(scenario(door.url, key))


def test_a_wrong_key_is_refused_with_the_next_step_and_not_stored(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    async def scenario(url: str) -> None:
        async with opened_page(debian_command("chromium"), tmp_path, url) as page:
            await page.type("#key", "gpk_000000000000_wrong")
            await page.press("Enter")
            await page.shows("No valid API key was given", ".problem")
            await page.shows("Sign in with a key that is not revoked", ".problem")
            assert await page.value("sessionStorage.length") == 0

    with running_door(database) as door:
        asyncio.run(scenario(door.url))
