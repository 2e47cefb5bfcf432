"""Parts of the page in a real browser, each alone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.static_page import blank_page, emptied
from tests.chromium import Page

DREventAndDispatches = Callable[[Page], Awaitable[None]]
Told = Callable[[str, DREventAndDispatches], None]


@pytest.fixture(scope="module")
def browser(
    tmp_path_factory: pytest.TempPathFactory, debian_command: Callable[[str], Path]
) -> Iterator[tuple[asyncio.Runner, Page]]:
    """One for all, and the loop that it is spoken to in."""
    opened = blank_page(debian_command("chromium"), tmp_path_factory.mktemp("browser"))
    with asyncio.Runner() as runner:
        page = runner.run(anext(opened))
        yield runner, page
        runner.run(opened.aclose())


@pytest.fixture
def told(browser: tuple[asyncio.Runner, Page]) -> Told:
    """`told(script, story)` runs the script in an empty page, then the story."""
    runner, page = browser

    async def whole(script: str, story: DREventAndDispatches) -> None:
        await emptied(page)
        await page.value(script)
        await story(page)

    return lambda script, story: runner.run(whole(script, story))
