"""/schema in a real browser: every operation and schema, in both themes, with nothing from elsewhere."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.acceptance.api.running_api import running_door
from tests.chromium import opened_page
from tests.patience import ANSWER_S
from tests.servers import Database

WIDTHS = (390, 1440, 2560)
NOTIFY = "#post-webhooks-utility-dr-notification"


def test_the_page_shows_every_operation_and_schema_of_the_document(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    async def scenario(url: str, operations: int, schemas: int) -> None:
        async with opened_page(debian_command("chromium"), tmp_path, f"{url}/schema") as page:
            await page.shows("POST", NOTIFY)
            shown = "document.querySelectorAll('details.operation').length"
            assert await page.value(shown) == operations + schemas
            await page.go(NOTIFY)
            await page.shows("NotificationBody", f"{NOTIFY}[open]")
            await page.shows("With a key of role utility", NOTIFY)
            await page.shows("Authorization: Bearer", NOTIFY)
            await page.click(f"{NOTIFY} a", "NotificationBody")
            await page.shows("target_reduction_kw", "#schema-NotificationBody[open]")
            for theme in ("light", "dark"):
                await page.prefers(theme)
                assert await page.axe_findings() == [], theme
                for width in WIDTHS:
                    await page.size(width, 900)
                    assert await page.value("document.documentElement.scrollWidth <= innerWidth"), (
                        theme,
                        width,
                    )
                    await page.keep_picture(f"schema-{theme}-{width}")
            await page.type("#sought", "dr-notification")
            await page.until(f"{shown} < 10 && Boolean(document.querySelector('{NOTIFY}'))")
            await page.value("document.querySelectorAll('details').forEach((one) => (one.open = true))")
            assert await page.axe_findings() == []
            assert {address.split("/")[2] for address in page.requested} == {url.split("/")[2]}
            assert page.complaints == []

    with running_door(database) as door:
        document = httpx.get(f"{door.url}/schema/openapi.json", timeout=ANSWER_S).json()
        asyncio.run(
            scenario(
                door.url, sum(map(len, document["paths"].values())), len(document["components"]["schemas"])
            )
        )
