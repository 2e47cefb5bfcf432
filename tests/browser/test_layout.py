"""Every view at every width in both themes, with long names and much trouble: nothing is cut or off the screen."""

import json
import re

import pytest

from tests.browser.conftest import RunInPage
from tests.browser.demanding_answers import DR_EVENT, FACILITIES, PROGRAM, START, answers_for, iso
from tests.browser.layout_scripts import CANVAS_TEXTS, FAULTS
from tests.browser.views import SIZES, THEMES, size
from tests.browser.whole_page import whole_page
from tests.chromium import ROOT, Page

VIEWS = {
    "portfolio": "#/portfolio",
    "dr-events": "#/dr-events",
    "dr-event": f"#/dr-events/{DR_EVENT}",
    "measurement": f"#/dr-events/{DR_EVENT}?facility={FACILITIES[2]}",
    "facilities": "#/facilities",
    "facility": f"#/facilities/{FACILITIES[0]}",
    "audit": "#/audit",
    "trail": f"#/audit/{DR_EVENT}",
    "operations": "#/operations",
    "programs": "#/programs",
    "month": f"#/programs/{PROGRAM}?period=2026-07",
    "statement": f"#/statements/{FACILITIES[0]}?period=2026-07",
    "changes": "#/changes",
    "setup": "#/setup",
    "setup-facility": f"#/setup/facility/{FACILITIES[0]}",
    "setup-program": f"#/setup/program/{PROGRAM}",
    "setup-keys": "#/setup/keys",
    "setup-import": "#/setup/import",
    "search": "#/search?q=a",
    "missing": "#/no-such-view",
}
ADMIN = {"role": "admin"}
DRAWN = (
    "document.querySelector('main h1') && !document.querySelector('main .skeleton, main [aria-busy=true]')"
)


async def draw(page: Page, address: str) -> None:
    await page.go(address)
    await page.until(DRAWN)
    await page.value("new Promise((done) => setTimeout(done, 60))")
    await page.until(DRAWN)
    await page.value("document.querySelectorAll('main details').forEach((one) => { one.open = true })")


async def faults_of(page: Page) -> list[str]:
    found = []
    for theme in THEMES:
        await page.prefers(theme)
        for name in SIZES:
            await size(page, name)
            await page.value("new Promise((done) => setTimeout(done, 60))")
            found += [f"{theme}, {name}: {fault}" for fault in await page.value(FAULTS)]
    return found


@pytest.mark.parametrize("name", VIEWS)
def test_nothing_of_a_view_is_cut_or_off_the_screen(run_in_page: RunInPage, name: str) -> None:
    async def scenario(page: Page) -> None:
        # Beside the mark of the preparation.
        clock = f"import('/static/server_clock.js').then((clock) => clock.noteServerTime('{iso(START)}'))"
        await page.value(clock)
        await draw(page, VIEWS[name])
        assert await faults_of(page) == []
        assert [one for one in page.complaints if "exception" in one] == []

    run_in_page(f"{CANVAS_TEXTS}; {whole_page(ADMIN, answers_for(ADMIN))}", scenario)


def test_every_view_of_the_page_is_looked_at() -> None:
    registry = (ROOT / "interfaces/web/static/views/registry.js").read_text()
    names = set(
        re.findall(r'^  "?([a-z-]+)"?: \{', registry.partition("export const VIEWS")[2], re.MULTILINE)
    )
    assert {"portfolio", "changes", "setup", "missing"} <= names
    assert names - {"missing"} <= {re.split(r"[/?]", address)[1] for address in VIEWS.values()}


def test_on_a_phone_the_seven_views_of_an_admin_stand_in_one_line(run_in_page: RunInPage) -> None:
    lines = """[...document.querySelectorAll(".nav a")].map((link) => {
      const words = document.createRange();
      words.selectNodeContents(link.lastChild);
      return words.getClientRects().length;
    })"""

    async def scenario(page: Page) -> None:
        await size(page, "narrow")
        await draw(page, VIEWS["portfolio"])
        assert await page.value(lines) == [1] * 7
        assert await page.value("document.querySelector('.nav').scrollWidth <= innerWidth")

    run_in_page(whole_page(ADMIN, answers_for(ADMIN)), scenario)


def test_on_a_narrow_screen_a_column_header_scrolls_with_its_column(run_in_page: RunInPage) -> None:
    frame = "document.querySelector('.chart details .table-frame')"
    left_of = f"{frame}.querySelector('{{}} tr > :last-child').getBoundingClientRect().left"

    async def scenario(page: Page) -> None:
        await size(page, "narrow")
        await draw(page, VIEWS["dr-event"])
        await page.until(f"{frame} !== null")
        before = await page.value(left_of.format("thead"))
        await page.value(f"{frame}.scrollLeft = 60")
        assert await page.value(left_of.format("thead")) == before - 60
        assert await page.value(left_of.format("tbody")) == before - 60

    run_in_page(f"{CANVAS_TEXTS}; {whole_page(ADMIN, answers_for(ADMIN))}", scenario)


def test_buttons_are_beside_the_status_and_every_reason_is_on_a_line_of_its_own(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await draw(page, VIEWS["dr-event"])
        rows = "[...document.querySelector('[aria-label=\"Facilities of the DR event\"] tbody').rows]"
        buttons = f"{rows}.map((row) => row.cells[1]?.querySelector('button')?.innerText).filter(Boolean)"
        assert sorted(await page.value(buttons)) == ["Approve…", "Restored…", "Restored…"]
        told = await page.value(
            f"{rows}.filter((row) => row.className === 'below').map((row) => row.innerText)"
        )
        assert len(told) == 5
        assert any("overridden: the meter is back, I called the building" in text for text in told)
        [failing] = await page.value(
            f"{rows}.filter((row) => row.innerText.startsWith('{FACILITIES[2]}')).map((row) => row.cells[1].innerText)"
        )
        assert failing.startswith("restoring, not succeeding")
        await page.shows("2 facilities not restored", ".needs")

    run_in_page(whole_page(ADMIN, answers_for(ADMIN)), scenario)


def test_all_blocked_facilities_are_approved_with_one_reason_and_those_refused_are_named(
    run_in_page: RunInPage,
) -> None:
    given = answers_for(ADMIN)
    at = f"/api/dr-events/{DR_EVENT}"
    _, dispatches = given[f"{at}/dispatches"]
    blocked = [part | {"status": "blocked"} for part in dispatches["items"][:3]]
    given[f"{at}/dispatches"] = (200, {"items": blocked, "next_cursor": None})
    names = [part["facility_id"] for part in blocked]

    async def scenario(page: Page) -> None:
        await page.value(f"""window.sent = []; window.refused = {json.dumps(names[1])};
          answers['{at}/overrides'] = (path, {{ body }}) => {{
            sent.push(JSON.parse(body));
            const isRefused = sent.at(-1).facility_id === refused;
            return isRefused ? [409, {{ title: "Not now", detail: "it has begun" }}] : [202, null];
          }}; 0""")
        await draw(page, VIEWS["dr-event"])
        await page.shows("3 facilities blocked", ".needs")
        await page.click(".needs button", "Approve all blocked")
        await page.type("dialog[open] textarea", "the weather is known again")
        await page.click("dialog button", "Approve all")
        await page.shows("Not approved: 1 of 3", "dialog .problem")
        await page.shows(f"{names[1]}: it has begun", "dialog .problem")
        await page.shows("Approved: 2 of 3", "dialog")
        await page.value("refused = null")
        await page.click("dialog button", "Approve all")
        await page.shows("3 facilities approved.", ".toasts")
        assert [one["facility_id"] for one in await page.value("sent")] == [*names, names[1]]
        assert {one["reason"] for one in await page.value("sent")} == {"the weather is known again"}

    run_in_page(whole_page(ADMIN, given), scenario)
