"""Fixtures for tests of parts of the page in a real browser."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.static_page import blank_page, emptied
from tests.chromium import Page

Scenario = Callable[[Page], Awaitable[None]]
RunInPage = Callable[[str, Scenario], None]


@pytest.fixture(scope="module")
def browser(
    tmp_path_factory: pytest.TempPathFactory, debian_command: Callable[[str], Path]
) -> Iterator[tuple[asyncio.Runner, Page]]:
    """One browser for all tests of a module, and the event loop that it uses."""
    opened = blank_page(debian_command("chromium"), tmp_path_factory.mktemp("browser"))
    with asyncio.Runner() as runner:
        page = runner.run(anext(opened))
        yield runner, page
        runner.run(opened.aclose())


@pytest.fixture
def run_in_page(browser: tuple[asyncio.Runner, Page]) -> RunInPage:
    """`run_in_page(script, scenario)` runs the script in an empty page, then the scenario."""
    runner, page = browser

    async def whole(script: str, scenario: Scenario) -> None:
        await emptied(page)
        await page.value(script)
        await scenario(page)

    return lambda script, scenario: runner.run(whole(script, scenario))
