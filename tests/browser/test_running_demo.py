"""The page on `gridproof demo --keep` in a real browser: views, slider, operator actions, an outage, keyboard use.

All tests share one small demo; their screenshots are saved (CONTRIBUTING.md).
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.page_scripts import HALF_MINUTES, KEYBOARD
from tests.browser.views import MAIN, THEMES, draw, size, views_of
from tests.chromium import Page, opened_page
from tests.demo_runs import SMALL
from tests.running_demo import RunningDemo, running_demo, until

FACILITY = "fac-003"
"""A facility that serves; of the others one times out, one refuses and one is in maintenance."""
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"

Opened = Callable[[str], AbstractAsyncContextManager[Page]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    with running_demo(tmp_path_factory.mktemp("demo"), *SMALL) as kept:
        yield kept


@pytest.fixture
def opened(demo: RunningDemo, tmp_path: Path, debian_command: Callable[[str], Path]) -> Opened:
    return lambda address: opened_page(debian_command("chromium"), tmp_path, f"{demo.url}/{address}")


def run_scenario(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_every_view_is_drawn_in_both_themes_and_axe_finds_nothing_serious(
    demo: RunningDemo, opened: Opened
) -> None:
    async def scenario() -> None:
        async with opened("") as page:
            assert await page.axe_findings() == []
            await page.keep_picture("sign-in")
            await page.sign_in(demo.keys["admin"])
            for view in views_of(demo, FACILITY):
                await size(page, "wide")
                await draw(page, view)
                await page.shows("last readings", ".bar")
                for theme, other in zip(THEMES, ("wall", "narrow"), strict=True):
                    await size(page, "wide")
                    await page.prefers(theme)
                    assert await page.axe_findings() == [], (view.name, theme)
                    await page.keep_picture(f"{view.name}-{theme}")
                    await size(page, other)
                    assert await page.value(OVERFLOW) <= 0, (view.name, other)
                    await page.keep_picture(f"{view.name}-{theme}-{other}")
            assert {address.split("/")[2] for address in page.requested} == {demo.url.split("/")[2]}
            refused = [one for one in page.complaints if "Content Security" in one or "exception" in one]
            assert refused == []

    run_scenario(scenario())


def test_each_number_of_a_dr_event_links_to_the_domain_event_that_it_comes_from(
    demo: RunningDemo, opened: Opened
) -> None:
    path = f"/api/dr-events/{demo.dr_event}/measurements"
    recorded = [*demo.get(path)["numbers"], *demo.get(f"{path}/{FACILITY}")["numbers"]]
    figures = demo.get(f"{path}/{FACILITY}")["figures"]

    async def scenario() -> None:
        async with opened("") as page:
            await page.sign_in(demo.keys["auditor"])
            await page.go(f"#/dr-events/{demo.dr_event}?facility={FACILITY}")
            await page.shows(figures["data_hash"], "main")
            for number in recorded:
                step = f"#/audit/{demo.dr_event}?step={number['origin']['position']}"
                await page.until(f"document.querySelector('main a[href=\"{step}\"]') !== null")
            shown = await page.value("document.querySelector('.measured').innerText")
            assert figures["baseline_method"] in shown
            means_kw = [float(text.replace(",", "")) for text in re.findall(r"(?<=Used\t)[\d,.]+", shown)]
            recorded_kw = [day["mean_kw"] for day in figures["days"] if day["use"] == "used"]
            assert means_kw == pytest.approx(recorded_kw, abs=0.51)

    run_scenario(scenario())


async def shown_then(page: Page) -> tuple[str, dict[str, str], int]:
    """The status of the DR event and of each facility, and the number of steps, as shown on the page."""
    await page.until("document.querySelector('#past')?.getAttribute('aria-busy') === 'false'")
    tiles = await page.value("[...document.querySelectorAll('#past .tile')].map(tile => tile.title)")
    return (
        await page.value("document.querySelector('#state-then').innerText.trim()"),
        {facility: words.split(", ")[0] for facility, words in (tile.split(": ") for tile in tiles)},
        await page.value("document.querySelectorAll('.audit-step').length"),
    )


def recorded_then(
    demo: RunningDemo, position: int, steps: list[dict[str, Any]]
) -> tuple[str, dict[str, str], int]:
    """The same from the API."""
    at = f"as_of={position}"
    row = demo.get(f"/api/dr-events/{demo.dr_event}?{at}")
    parts = demo.get(f"/api/dr-events/{demo.dr_event}/dispatches?limit=500&{at}")["items"]
    states = dict.fromkeys(row["facility_ids"], "no part yet")
    states |= {part["facility_id"]: spoken(part["status"]) for part in parts}
    passed = sum(step["position"] <= position for step in steps)
    return spoken(row["status"]), states, min(40, passed)


def spoken(status: str) -> str:
    return status.replace("_", " ").replace("bms", "BMS")


def test_the_slider_shows_the_same_state_as_the_api_at_each_position(
    demo: RunningDemo, opened: Opened
) -> None:
    async def scenario() -> None:
        async with opened(f"#/audit/{demo.dr_event}") as page:
            await page.sign_in(demo.keys["auditor"])
            await page.shows("completed", "#state-then")
            seen = []
            for position in moments:
                await page.go(f"#/audit/{demo.dr_event}?as_of={position}")
                await page.shows(f"position {position}", ".slider")
                seen.append(await shown_then(page))
                assert seen[-1] == recorded_then(demo, position, steps)
            assert len({str(one[1]) for one in seen}) == 3
            await page.value("document.querySelector('#slider').focus()")
            await page.press("ArrowRight")
            following = next(step["position"] for step in steps if step["position"] > moments[-1])
            await page.shows(f"position {following}", ".slider")
            assert await shown_then(page) == recorded_then(demo, following, steps)
            await page.press("Home")
            await page.shows(f"step 1 of {len(steps):,}", ".slider")
            assert (await shown_then(page))[0] == "opened"
            await page.press("End")
            await page.until("!location.hash.includes('as_of=')")
            assert await shown_then(page) == recorded_then(demo, steps[-1]["position"], steps)

    steps = demo.get(f"/api/audit/dr-events/{demo.dr_event}")["steps"]
    topics = ("dr-event.accepted.v1", "dispatch.committed.v1", "dr-event.ended.v1")
    moments = [next(step["position"] for step in steps if step["topic"] == topic) for topic in topics]
    run_scenario(scenario())


def test_the_printed_audit_view_has_every_step_and_no_button(demo: RunningDemo, opened: Opened) -> None:
    steps = demo.get(f"/api/audit/dr-events/{demo.dr_event}")["steps"]
    assert len(steps) > 40

    async def scenario() -> None:
        async with opened(f"#/audit/{demo.dr_event}") as page:
            await page.sign_in(demo.keys["auditor"])
            await page.until("document.querySelectorAll('.audit-step').length === 40")
            await page.call("Page.printToPDF")
            await page.until(f"document.querySelectorAll('.audit-step').length === {len(steps)}")
            await page.call("Emulation.setEmulatedMedia", media="print")
            await page.shows("Gridproof audit trail", ".printed")
            seen = (
                "[...document.querySelectorAll('.bar, main .actions')].filter(one => one.checkVisibility())"
            )
            assert await page.value(f"{seen}.length") == 0

    run_scenario(scenario())


async def confirmed(page: Page, button: str, reason: str, confirm: str, where: str = "main") -> None:
    """Click the button, enter a reason, and confirm."""
    await page.click(f"{where} button", button)
    await page.until("document.querySelector('dialog[open] button[type=submit]')?.disabled")
    await page.type("dialog[open] textarea", reason)
    await page.until("document.querySelector('dialog button[type=submit]')?.disabled === false")
    await page.click("dialog button", confirm)
    await page.until("!document.querySelector('dialog')")


async def open_announced_dr_event(page: Page, demo: RunningDemo, event_id: str, *, in_hours: float) -> str:
    """Sign in as an operator, wait until a new DR event appears in the list, and open it; returns its id."""
    await page.sign_in(demo.keys["operator"])
    await page.shows("Live", ".bar")
    await page.shows("UTIL-2026-0042", "main table")
    dr_event = await asyncio.to_thread(demo.ask, event_id, in_hours=in_hours)
    await page.shows(event_id, "main table")
    await page.go(f"#/dr-events/{dr_event}")
    return dr_event


def given_by_operator(demo: RunningDemo, dr_event: str) -> dict[str, str]:
    """The reasons in the log by the demo's operator, by topic."""
    operator = f"operator:{demo.keys['operator'].split('_')[1]}"
    steps = demo.get(f"/api/audit/dr-events/{dr_event}")["steps"]
    return {step["topic"]: step["why"] for step in steps if step["who"] == operator and step["why"]}


def test_a_new_dr_event_appears_and_an_operator_approves_a_blocked_facility(
    demo: RunningDemo, opened: Opened
) -> None:
    async def scenario() -> str:
        async with opened("#/dr-events") as page:
            dr_event = await open_announced_dr_event(page, demo, "UTIL-2026-0050", in_hours=10)
            await page.shows("blocked", "main table")
            await page.keep_picture("dr-event-blocked")
            await confirmed(page, "Approve", "the meter is back", "Approve it", where="main table")
            await page.shows("overridden: the meter is back", "main table")
            return dr_event

    with demo.held("compute"):
        # The newest forecast is over two cycles old, so planning counts it as stale.
        until(
            lambda: demo.get(f"/api/facilities/{FACILITY}/forecast")["counts_as"] != "full",
            "a stale forecast",
        )
        dr_event = asyncio.run(scenario())
    assert given_by_operator(demo, dr_event) == {"dispatch.forecast-overridden.v1": "the meter is back"}


def test_an_operator_cancels_a_dr_event_with_a_reason_and_escape_cancels_nothing(
    demo: RunningDemo, opened: Opened
) -> None:
    async def scenario() -> str:
        async with opened("#/dr-events") as page:
            dr_event = await open_announced_dr_event(page, demo, "UTIL-2026-0052", in_hours=12)
            cancel = "[...document.querySelectorAll('main button')].find(b => b.innerText === 'Cancel…')"
            await page.until(f"Boolean({cancel})")
            await page.value(f"{cancel}.focus()")
            await page.press("Enter")
            await page.shows("This cannot be taken back", "dialog[open]")
            await page.keep_picture("dr-event-question")
            await page.press("Escape")
            await page.until(
                "!document.querySelector('dialog') && document.activeElement.innerText === 'Cancel…'"
            )
            await confirmed(page, "Cancel…", "the grid is calm", "Cancel the DR event")
            await page.shows("cancelled", "main .page-head")
            await page.until("document.activeElement.tagName === 'H1'")
            return dr_event

    dr_event = asyncio.run(scenario())
    assert given_by_operator(demo, dr_event) == {"dr-event.cancelled.v1": "the grid is calm"}


def test_an_outage_of_the_server_and_its_end_are_reported_at_once(demo: RunningDemo, opened: Opened) -> None:
    async def scenario() -> None:
        async with opened("") as page:
            await page.sign_in(demo.keys["dashboard"])
            await page.shows("Live", ".bar")
            await asyncio.to_thread(demo.kill, "web")
            await page.shows("Offline.", ".banner")
            await page.shows("Offline", ".bar")
            await page.keep_picture("outage")
            assert await page.axe_findings() == []
            await page.until("!document.querySelector('.banner')")
            await page.shows("Live", ".bar")

    run_scenario(scenario())


def test_without_the_stream_the_page_polls_every_half_minute_and_reports_it(
    demo: RunningDemo, opened: Opened
) -> None:
    async def scenario() -> None:
        async with opened("#/dr-events") as page:
            await page.call("Network.setBlockedURLs", urls=["*/api/stream*"])
            await page.call("Page.addScriptToEvaluateOnNewDocument", source=HALF_MINUTES)
            await page.call("Page.reload")
            await page.sign_in(demo.keys["dashboard"])
            await page.shows("Every 30 s", ".bar")
            await page.shows("UTIL-2026-0042", "main table")
            await asyncio.to_thread(demo.ask, "UTIL-2026-0051", in_hours=20)
            await page.shows("UTIL-2026-0051", "main table")
            assert await page.value("document.querySelectorAll('.banner').length") == 0

    run_scenario(scenario())


def test_everything_is_reachable_by_keyboard_and_the_focus_is_always_visible(
    demo: RunningDemo, opened: Opened
) -> None:
    async def scenario() -> None:
        async with opened("") as page:
            await page.sign_in(demo.keys["admin"])
            await page.value(KEYBOARD)
            for view in [view for view in views_of(demo, FACILITY) if view.name in MAIN]:
                await draw(page, view)
                for _ in range(40):
                    for _ in range(10):
                        await page.press("Tab")
                    if not await page.value("unreached().length"):
                        break
                assert await page.value("unreached()") == [], view.name
                assert await page.value("unseen") == [], view.name

    run_scenario(scenario())
