"""The screenshots of the guide, taken from a demo of fifty facilities: `make screenshots`."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.views import MAIN, THEMES, draw, settled_views_of, size, views_of
from tests.chromium import opened_page
from tests.running_demo import RunningDemo, running_demo

MOST_BYTES = 150_000
FACILITY = "fac-003"


@pytest.mark.slow
def test_screenshots_of_every_view_in_both_themes_wide_and_narrow_are_small(
    tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    async def scenario(demo: RunningDemo) -> None:
        async with opened_page(debian_command("chromium"), tmp_path / "browser", demo.url) as page:
            taken = []
            await size(page, "wide")
            for theme in THEMES:
                await page.prefers(theme)
                taken.append(await page.keep_picture(f"sign-in-{theme}"))
            await page.sign_in(demo.keys["admin"])
            of_each_kind = [view for view in views_of(demo, FACILITY) if view.name in MAIN]
            for view in (*of_each_kind, *settled_views_of(demo)):
                await draw(page, view)
                for theme in THEMES:
                    await page.prefers(theme)
                    for name in ("wide", "narrow"):
                        await size(page, name)
                        if "?" in view.address:  # what it asks for is further down
                            await page.value("document.querySelector('main .below-bar')?.scrollIntoView()")
                        taken.append(await page.keep_picture(f"{view.name}-{theme}-{name}"))
            assert {
                path.name: path.stat().st_size for path in taken if path.stat().st_size > MOST_BYTES
            } == {}

    (tmp_path / "browser").mkdir()
    with running_demo(tmp_path) as demo:
        asyncio.run(scenario(demo))
