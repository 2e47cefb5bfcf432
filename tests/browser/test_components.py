"""Parts of the page in a real browser, with data that the demo lacks: long lists, many faults, broken answers."""

from tests.browser.conftest import RunInPage
from tests.browser.page_scripts import (
    ABOUT,
    ANSWERS,
    GAPS,
    LATE,
    MEASUREMENTS,
    NOT_MEASURABLE,
    NOT_READY,
    QUESTION,
    STEPS,
    STOPPED,
    TEN_THOUSAND,
    TILES,
)
from tests.chromium import Page

TROUBLED = "document.querySelectorAll('main .tile[data-tone=bad]').length"


def test_a_table_of_ten_thousand_rows_draws_the_first_rows_and_filters_all(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        drawn = "document.querySelectorAll('main tbody tr').length"
        await page.until(f"{drawn} === 200")
        await page.click("main button", "Show 200 more")
        await page.until(f"{drawn} === 400")
        await page.type("main input", "row 9999")
        await page.until(f"{drawn} === 1")
        await page.shows("1 of 10,000", "main")

    run_in_page(TEN_THOUSAND, scenario)


def test_tiles_show_the_facilities_in_the_worst_state_and_count_those_not_shown(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        assert await page.value("document.querySelectorAll('main .tile').length") == 600
        assert await page.value(TROUBLED) == 5
        await page.shows("and 55 not shown, 45 in order", "main .others")

    run_in_page(TILES, scenario)


def test_missing_readings_are_a_table_of_short_hours_with_their_meters(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        row = (
            "[...document.querySelectorAll('main tbody tr')].map(one => one.innerText.replace(/\\s+/g, ' '))"
        )
        assert await page.value(row) == ["14 Jul, 20:00 12 2 0 470 sub (10), main (2)"]
        assert await page.value("document.querySelector('main tbody th').scope") == "row"
        await page.shows("Nothing arrived before 14 Jul, 20:00. Not in the portfolio: stray.", "main")
        await page.value("whole()")
        await page.shows("Complete: no reading of 1 meter is missing.", "main")
        await page.value("nothing()")
        await page.shows("Its meters sent nothing in this time.", "main")

    run_in_page(GAPS, scenario)


def test_a_timeline_printed_by_a_script_has_every_step(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        drawn = "document.querySelectorAll('main .audit-step').length"
        assert await page.value(drawn) == 40
        # The Print button does the same: nothing is drawn between the call and the printed image.
        assert await page.value(f"(print(), {drawn})") == 90

    run_in_page(STEPS, scenario)


def test_a_step_is_shown_and_searched_with_formatted_times(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("step 89, at 14 Jul, 20:45:00", "main .audit-step")
        await page.type("main input", "step 5, at 14 jul")
        await page.until("document.querySelectorAll('main .audit-step').length === 1")

    run_in_page(STEPS, scenario)


def test_a_view_is_drawn_that_was_opened_again_just_before_its_files_arrived(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("Here it is.", "main")

    run_in_page(LATE, scenario)


def test_an_alert_links_only_to_existing_views(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        facility = "#/facilities/fac-001"
        assert await page.value(ABOUT) == [None, facility, facility, "#/dr-events/42", None]

    run_in_page("0", scenario)


def test_closing_a_dialog_focuses_the_heading_only_if_the_focused_element_is_gone(
    run_in_page: RunInPage,
) -> None:
    focused = "document.activeElement.tagName"

    async def scenario(page: Page) -> None:
        await page.value("ask('Nothing had the focus', true)")
        await page.value("ask(null, true); new Promise(done => setTimeout(done, 100))")
        assert await page.value(focused) == "BODY"
        await page.value("document.querySelector('#below').focus()")
        scrolled = await page.value("scrollY")
        assert scrolled > 1_000
        await page.value("ask('The button had it', true)")
        await page.until(f"{focused} === 'BUTTON'")
        await page.value("ask(null, true); new Promise(done => setTimeout(done, 100))")
        assert await page.value("document.activeElement.id") == "below"
        await page.value("ask('It goes', true)")
        await page.value("ask(null, false)")
        await page.until(f"{focused} === 'H1'")
        assert await page.value("scrollY") > 1_000

    run_in_page(QUESTION, scenario)


def test_answers_requested_together_have_the_oldest_age_and_a_broken_refusal_is_a_problem(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        paths = ["/api/facilities", "/api/portfolio", "/api/facilities", "/api/alerts"]
        assert [await page.value(f"asked('{path}')") for path in paths] == [None, 90, 90, 120]
        assert await page.value("asked('/api/broken')") == ["Problem", 503, "Away"]
        assert await page.value("asked('/api/nothing')") == ["Problem", 502, "Status 502"]

    run_in_page(ANSWERS, scenario)


def test_a_facility_that_went_no_further_says_why_and_is_not_shown_as_failed(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        shown = await page.value(STOPPED)
        assert shown["first"] == ["blocked", "opted out", "failed", "released"]
        assert shown["reasons"][:2] == ["blocked: its forecast is degraded_no_weather", "opted out: boiler"]
        assert shown["missing"] == 25

    run_in_page("0", scenario)


def test_an_active_dr_event_whose_facilities_do_not_serve_says_so(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        chips = "[...document.querySelectorAll('main .chip')].map((chip) => [chip.dataset.tone, chip.textContent])"
        assert [tuple(chip) for chip in await page.value(chips)] == [
            ("ok", "active"),
            ("warn", "2 of 3 blocked"),
            ("ok", "active"),
            ("bad", "3 of 3 do not serve"),
            ("ok", "active"),
            ("warn", "1 of 3 at risk"),
            ("ok", "active"),
        ]

    run_in_page(NOT_READY, scenario)


def test_what_could_not_be_measured_is_shown_as_unknown_and_never_as_zero(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        cells = "[...document.querySelectorAll('main tbody tr')].map((row) => row.cells[5].innerText.trim())"
        assert sorted(await page.value(cells)) == ["0.0", "12.0", "not measurable"]
        await page.shows("not measurable: 3 facilities", "#none")
        await page.shows("Not measurable", "#none .steps")
        await page.shows("measured, without 1 not measurable", "#some")
        await page.shows("Measured", "#zero .steps")

    run_in_page(NOT_MEASURABLE, scenario)


def test_a_measurement_shows_what_was_recorded(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        for said in ("clipped from", "13 Jul", "none: its time zone belongs to no country", "not known"):
            await page.shows(said, "#ordinary")
        for said in (
            "fitted to 70 days",
            "±5.0 kW (53 %) at 80 %, ±6.5 kW (68 %) at 90 %",
            "3 Jul (of US-CA)",
            "skipped: DR event day",
            "Tuesday, 11:00, occupied",
            "above 20.5 °C",
            "10.250 kW/K",
        ):
            await page.shows(said, "#regression")
        await page.shows("Not measurable: nothing was metered", "#nothing")

    run_in_page(MEASUREMENTS, scenario)
