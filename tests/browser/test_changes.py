"""The view "Changes" in a real browser on a real server: who changed what, filters, pages, links and saved files."""

import asyncio
import csv
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

from tests.acceptance.api.running_api import running_door
from tests.browser.test_audit import saved_file
from tests.browser.views import THEMES
from tests.chromium import Page, opened_page
from tests.servers import Database

HOSTILE = '=HYPERLINK("x"), <b>"calm"</b>'
SHOWN = "[...document.querySelectorAll('main .audit-step')].map((one) => one.innerText)"
PAGE = 50


async def fits(page: Page) -> None:
    """Nothing but a scrolled frame is wider than the screen, in both themes and on a phone."""
    for theme in THEMES:
        await page.prefers(theme)
        for width in (390, 1440):
            await page.size(width, 900)
            assert await page.value("document.body.scrollWidth <= innerWidth"), (theme, width)
            beyond = (
                "[...document.querySelectorAll('.nav a, main *')].filter((one) => one.getClientRects().length &&"
                " one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 120))"
            )
            assert await page.value(beyond) == [], (theme, width)
            assert await page.axe_findings() == [], (theme, width)
            await page.keep_picture(f"changes-{theme}-{'narrow' if width < 1000 else 'wide'}")


def test_who_changed_what_is_listed_filtered_linked_and_saved(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (tmp_path / "browser").mkdir()

    async def scenario(url: str, key: str) -> None:
        async with opened_page(debian_command("chromium"), tmp_path / "browser", url) as page:
            await page.sign_in(key)
            await page.click(".nav a", "Changes")
            await page.shows("fac-001 maintenance started", "main")
            newest = (await page.value(SHOWN))[0]
            assert f"Because: {HOSTILE}" in newest
            assert "by operator:" in newest
            assert await page.value("document.querySelectorAll('main b b').length") == 0
            await fits(page)
            drawn = len(await page.value(SHOWN))
            assert drawn == PAGE
            await page.click("main .more button", "older")
            await page.until(f"{SHOWN}.length > {drawn}")
            await page.value(
                "(() => { const kind = document.querySelector('main select'); kind.value = 'maintenance';"
                " kind.dispatchEvent(new Event('change', { bubbles: true })); })()"
            )
            await page.until(
                f"{SHOWN}.every((one) => one.includes('maintenance')) && location.hash.includes('kind=maintenance')"
            )
            rows = list(csv.DictReader(StringIO((await saved_file(page, folder, "CSV", ".csv")).read_text())))
            assert (rows[0]["facility_ids"], rows[0]["why"]) == ("fac-001", f"'{HOSTILE}")
            assert {row["kind"] for row in rows} == {"maintenance"}
            await page.click("main .audit-step a", "fac-001")
            await page.click("main .page-head a", "Changes")
            await page.until("location.hash.includes('facility=fac-001')")
            await page.shows("fac-001 registered", "main")
            kept = json.loads((await saved_file(page, folder, "JSON", ".json")).read_text())
            assert {tuple(one["facility_ids"]) for one in kept} == {("fac-001",)}
            assert [one for one in page.complaints if "'source': 'network'" not in one] == []

    with running_door(database) as door:
        answer = door.order("/api/facilities/fac-001/maintenance", {"action": "start", "reason": HOSTILE})
        assert answer.status_code == 200, answer.text
        door.project()
        asyncio.run(scenario(door.url, door.key("admin")))
