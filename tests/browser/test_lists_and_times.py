"""Lists that are filtered, searched and saved as files; times and states that do not contradict each other."""

import json
from typing import Any

import pytest

from tests.browser.conftest import RunInPage
from tests.browser.demanding_answers import DR_EVENT, EVENT, FACILITIES, PROGRAM, answers_for
from tests.browser.whole_page import whole_page
from tests.chromium import Page

ADMIN = {"role": "admin"}
ROWS = "[...document.querySelectorAll('main tbody tr:not(.below)')].length"
SAVED = """(() => {
  window.files = {};
  URL.createObjectURL = (blob) => (window.blob = blob, "#/dr-events");
  HTMLAnchorElement.prototype.click = function () { if (this.download) files[this.download] = blob; };
})()"""


def page_with(changes: dict[str, Any] | None = None) -> str:
    given = answers_for(ADMIN)
    for path, changed in (changes or {}).items():
        given[path] = (200, given[path][1] | changed)
    return whole_page(ADMIN, given)


def test_dr_events_are_filtered_by_status_and_saved_as_shown(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.value(SAVED)
        await page.go("#/dr-events")
        await page.until(f"{ROWS} === 3")
        await page.click("main .segments button", "Rejected 1")
        await page.until(f"{ROWS} === 1")
        told = await page.value("document.querySelector('main .below').innerText")
        assert all(f"{name} is not enrolled" in told for name in FACILITIES[:4])
        await page.click("main .downloads button", "CSV")
        head, line = (await page.value("files['dr-events.csv'].text()")).splitlines()
        assert head.startswith("DR event,Status,Window")
        assert line.startswith(f"{EVENT},rejected,2026-07-14T18:40:00Z")
        await page.click("main .downloads button", "JSON")
        [row] = json.loads(await page.value("files['dr-events.json'].text()"))
        assert row["status"] == "rejected"

    run_in_page(page_with(), scenario)


def test_a_file_for_a_spreadsheet_holds_no_formula(run_in_page: RunInPage) -> None:
    script = """import("/static/components/download.js").then(({ csvOf }) =>
      csvOf([{ label: "Name", value: (row) => row.name }, { label: "kW", value: (row) => row.kw }],
        [{ name: "=cmd()", kw: -1.5 }, { name: 'a "b", c', kw: null }]))"""

    async def scenario(page: Page) -> None:
        assert await page.value(script) == 'Name,kW\r\n\'=cmd(),-1.5\r\n"a ""b"", c",\r\n'

    run_in_page("0", scenario)


def test_the_history_of_a_facility_is_saved_with_its_gaps(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.value(SAVED)
        await page.go(f"#/facilities/{FACILITIES[0]}")
        await page.click("[aria-labelledby=panel-load] .downloads button", "CSV")
        lines = (await page.value(f"files['{FACILITIES[0]}-day.csv'].text()")).splitlines()
        assert lines[0] == "starts_at,kw,kwh,min_kw,max_kw,coverage_pct"
        assert (lines[1], lines[5]) == ("2026-07-13T19:00:00Z,118.2,,,,100", "2026-07-13T20:00:00Z,,,,,100")

    run_in_page(page_with(), scenario)


def test_the_search_lists_facilities_and_dr_events_by_a_part_of_their_name(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.click(".bar a", "Search")
        await page.type("main input", "b105")
        await page.until("document.querySelectorAll('main .found a').length === 1")
        assert await page.value("document.querySelector('main .found a').hash") == "#/facilities/cam_b105"
        await page.go(f"#/search?q={DR_EVENT[-6:]}")
        assert await page.value("location.hash") == f"#/search?q={DR_EVENT[-6:]}"
        await page.value("location.hash = '#/portfolio'")
        await page.shows("Portfolio", "main h1")
        await page.go(f"#/search?q={DR_EVENT[-6:]}")
        await page.until("document.querySelectorAll('main .found a').length === 1")
        assert await page.value("document.querySelector('main .found a').hash") == f"#/dr-events/{DR_EVENT}"

    run_in_page(page_with(), scenario)


def test_a_facility_shows_its_own_clocks_and_no_contradictions(run_in_page: RunInPage) -> None:
    reserved = [
        {"dr_event_id": DR_EVENT, "starts_at": "2026-07-14T21:00:00Z", "ends_at": "2026-07-14T22:00:00Z"}
    ]
    at = f"/api/facilities/{FACILITIES[0]}"

    async def scenario(page: Page) -> None:
        await page.go(f"#{at.removeprefix('/api')}")
        await page.shows("in America/Los_Angeles", ".page-head .lede")
        await page.shows("14 Jul, 11:40 – 12:25 in Los Angeles", "[aria-labelledby=panel-dr-events]")
        assert (
            await page.value(
                "document.querySelector('[aria-labelledby=panel-building] .panel-head .chip').dataset.tone"
            )
            == "warn"
        )
        served = "[...document.querySelectorAll('.figure')].find((one) => one.innerText.startsWith('DR events served'))"
        assert await page.value(f"{served}.querySelector('dd').firstChild.data") == "0"
        await page.go(f"#/dr-events/{DR_EVENT}")
        await page.shows("11:40 – 12:25 in Los Angeles", "[aria-labelledby=panel-particulars]")

    run_in_page(page_with({at: {"dr_events_served": 1, "reservations": reserved}}), scenario)


@pytest.mark.parametrize(
    ("outcome", "delivered_kw", "tone", "words"),
    [("full", -37.0, "bad", "all served"), ("partial", 59.8, "ok", "not all served")],
)
def test_the_tone_of_a_dr_event_follows_the_kw_and_not_the_outcome(
    run_in_page: RunInPage, outcome: str, delivered_kw: float, tone: str, words: str
) -> None:
    figure = (
        "[...document.querySelectorAll('.figure')].find((one) => one.innerText.startsWith('Of the target'))"
    )
    changes = {
        "status": "completed",
        "outcome": outcome,
        "target_kw": 60.0,
        "delivered_kw": delivered_kw,
        "measured_at": "2026-07-14T23:03:00Z",
        "unmeasured_facilities": [],
    }

    async def scenario(page: Page) -> None:
        await page.go(f"#/dr-events/{DR_EVENT}")
        await page.until(f"{figure}?.dataset.tone === {tone!r}")
        chip = f"{figure}.querySelector('.chip')"
        assert await page.value(f"[{chip}.innerText, {chip}.dataset.tone]") == [words, "idle"]

    run_in_page(page_with({f"/api/dr-events/{DR_EVENT}": changes}), scenario)


def test_a_moment_within_a_reason_keeps_its_year_and_names_its_zone(run_in_page: RunInPage) -> None:
    script = """Promise.all(["server_clock", "format"].map((name) => import(`/static/${name}.js`)))
      .then(([clock, format]) => {
      clock.noteServerTime("2026-07-14T21:00:00Z");
      return [
        "ts 2024-12-28T06:43:00Z is more than 400 days old", "until 2026-07-14 22:05:00Z",
        "its forecast is degraded_no_weather",
        "degraded_forecast",
      ].map(format.readable);
    })"""

    async def scenario(page: Page) -> None:
        assert await page.value(script) == [
            "ts 28 Dec 2024, 06:43:00 UTC is more than 400 days old",
            "until 14 Jul, 22:05:00 UTC",
            "its forecast is degraded (no weather)",
            "degraded_forecast",
        ]

    run_in_page("0", scenario)


def test_the_load_of_some_facilities_is_not_compared_with_the_forecast_of_all(run_in_page: RunInPage) -> None:
    figure = "document.querySelector('.figure')"

    async def scenario(page: Page) -> None:
        await page.shows("of 1 of 6 facilities whose meters speak", "main .figure")
        assert await page.value(f"{figure}.dataset.tone") is None
        await page.click("main .segments button", "3 days")
        await page.until("window.asked.some((path) => path.startsWith('/api/portfolio/load?hours=72'))")

    run_in_page(page_with(), scenario)


def test_what_needs_a_person_now_is_said_first_and_only_to_who_can_do_it(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.shows(
            "3 facilities blocked. Degraded forecasts keep them out of a DR event until",
            "main .needs[data-tone=warn]",
        )
        await page.shows("One alert needs you now: Restore failing.", "main .needs[data-tone=bad]")
        await page.click("main .needs a", "Approve in the DR event")
        await page.shows("1 facility blocked", "main .needs[data-tone=warn]")
        await page.value(
            """import("/static/session.js").then(({ session }) => (session.set({ role: "dashboard" }), 0))"""
        )
        await page.go("#/dr-events")
        await page.until(f"{ROWS} === 3")
        assert await page.value("document.querySelectorAll('main .needs').length") == 0

    run_in_page(page_with(), scenario)


def test_a_step_that_a_command_caused_leads_to_all_that_the_command_led_to(run_in_page: RunInPage) -> None:
    given = answers_for(ADMIN)
    trail = given[f"/api/audit/dr-events/{DR_EVENT}"][1]
    first = trail["steps"][0]
    steps = [
        first | {"position": position, "trace_id": trace}
        for position, trace in ((1, "a" * 32), (2, "b" * 32))
    ]
    cause = {"kind": "domain_event", "position": 2, "topic": "dr-event.opened.v1", "what": "it was opened"}
    steps.append(steps[1] | {"position": 3, "caused_by": first["caused_by"] | cause})
    trail["steps"] = steps
    traces = {"a" * 32, "b" * 32}

    async def scenario(page: Page) -> None:
        await page.go(f"#/audit/{DR_EVENT}")
        await page.click(".audit-step button", "all that it led to")
        assert await page.value("document.querySelector('[aria-label=\"Filter steps\"]').value") in traces
        assert await page.value("document.querySelectorAll('.audit-step').length") == 2

    run_in_page(whole_page(ADMIN, given), scenario)


def test_operations_lists_web_and_says_of_a_warning_no_more_than_that(run_in_page: RunInPage) -> None:
    given = answers_for(ADMIN)
    given["/api/alerts"] = (200, {"items": given["/api/alerts"][1]["items"][1:2], "next_cursor": None})

    async def scenario(page: Page) -> None:
        await page.go("#/operations")
        await page.until("document.querySelector('.figure')?.dataset.tone === 'warn'")
        await page.shows("Web", "[aria-label=Workers]")
        assert PROGRAM not in await page.value("document.querySelector('main').innerText")

    run_in_page(whole_page(ADMIN, given), scenario)
