"""The page when an answer is refused, missing or stale: it shows the last data and labels it correctly."""

from tests.browser.answer_scripts import AUDIT, CLOCK, FACILITY, LIVE, PORTFOLIO, SENDING, WHOLE
from tests.browser.conftest import RunInPage
from tests.chromium import Page


def test_a_refused_point_in_time_leaves_the_shown_state_under_its_own_time(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await page.value("stands(1, 'opened'); refused(2); show('#/audit/1?as_of=1')")
        await page.shows("opened", "#state-then")
        for following in ("2", "3"):
            await page.go(f"#/audit/1?as_of={following}")
            await page.shows("A store is away" if following == "2" else "Not found", "#past .problem")
            await page.until("document.querySelector('#past').ariaBusy === 'false'")
            assert await page.value("document.querySelector('#state-then').innerText.trim()") == "opened"
            for place in (".page-head", "[aria-live]", "#past", ".printed"):
                assert "as of 14 Jul, 21:00:01" in await page.value(
                    f"document.querySelector('{place}').textContent"
                )
        await page.value("stands(2, 'accepted')")
        await page.go("#/audit/1?as_of=2")
        await page.shows("accepted", "#state-then")
        assert await page.value("document.querySelector('#past .problem')") is None

    run_in_page(AUDIT, scenario)


def test_a_refused_point_in_time_is_not_labelled_as_now_on_an_empty_page(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await page.value("refused(2); show('#/audit/1?as_of=2')")
        await page.shows("A store is away", "main .problem")
        assert "trail, printed" in await page.value("document.querySelector('.printed').textContent")

    run_in_page(AUDIT, scenario)


def test_the_age_of_an_unchanged_reading_increases_on_the_page(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("5 s old", "main .figures")
        await page.value("again('/api/facilities/fac-001/current')")
        await page.until("asked.filter(path => path.endsWith('/current')).length === 2")
        await page.shows("6 s old", "main .figures")

    run_in_page(FACILITY, scenario)


def test_the_servers_clock_continues_at_its_rate_when_the_server_repeats_a_time(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await page.value("noted(0, 1000); noted(10, 1010)")
        assert await page.value("then(10)") == 1010
        await page.value("noted(20, 1010); noted(30, 1005)")
        assert await page.value("then(40)") == 1040
        await page.value("noted(40, 1640); noted(50, 1840)")
        assert await page.value("then(60)") == 2040

    run_in_page(CLOCK, scenario)


def test_stale_data_is_read_again_once_the_stream_reports_current_data(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("one", "main p")
        await page.value("said('state', { stale: true, age_s: 12, reason: 'database' })")
        await page.shows("Stale for 12 s", ".banner")
        await page.value("answers['/api/rows'] = [200, { told: 'two' }]")
        await page.value("said('state', { stale: false, age_s: 0, reason: null })")
        await page.shows("two", "main p")
        await page.until("!document.querySelector('.banner')")

    run_in_page(LIVE, scenario)


def test_a_silent_stream_is_opened_again_after_its_last_message(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.value("said('open'); said('alive', {}, '7')")
        await page.value("""(() => {
          const now = Date.now;
          window.looked = (secondsLater) => {
            Date.now = () => now() + 1000 * secondsLater;
            document.dispatchEvent(new Event("visibilitychange"));
            Date.now = now;
            return streams.length;
          };
        })()""")
        assert [await page.value(f"looked({s})") for s in (30, 41)] == [1, 2]
        assert await page.value("streams.map((one) => one.readyState)") == [2, 1]
        assert await page.value("streams[1].address") == "/api/stream?last_event_id=7"
        await page.value("said('open'), 0")
        assert await page.value("looked(0)") == 2

    run_in_page(LIVE, scenario)


def test_a_temporary_refusal_is_retried_automatically_and_a_permanent_one_is_not(
    run_in_page: RunInPage,
) -> None:
    unavailable = '{ type: "/problems/unavailable", title: "A store is away" }'

    async def scenario(page: Page) -> None:
        await page.shows("one", "main p")
        await page.value(f"answers['/api/rows'] = [503, {unavailable}], said('reset', {{}}), 0")
        await page.shows("A store cannot be reached. The page tries again by itself.", "main .problem")
        failed = await page.value("many()")
        await page.until(f"many() >= {failed} + 2")
        await page.value("answers['/api/rows'] = [200, { told: 'two' }]")
        await page.shows("two", "main p")
        assert await page.value("document.querySelector('main .problem')") is None
        await page.value("answers['/api/rows'] = [403, { title: 'Not yours' }], said('reset', {}), 0")
        await page.shows("Not yours", "main .problem")
        refused = await page.value("many()")
        await page.value("new Promise(done => setTimeout(done, 15000))")
        assert await page.value("many()") == refused

    run_in_page(LIVE, scenario)


def test_a_zone_without_a_health_answer_is_not_shown_as_usual(run_in_page: RunInPage) -> None:
    state = "td:nth-last-child(2)"

    async def scenario(page: Page) -> None:
        await page.shows("not known now", state)
        away = '[503, { type: "/problems/unavailable", title: "A store is away" }]'
        await page.value(f"answers['/api/facilities/fac-001/health'] = {away}; again('health of')")
        await page.shows("A store is away", "[aria-labelledby=panel-zones] .problem")
        await page.shows("not known now", state)
        known = '[200, { bms: "no_trouble_known", alerts: [], zones: [{ zone_id: "zone-1" }] }]'
        await page.value(f"answers['/api/facilities/fac-001/health'] = {known}; 0")
        await page.shows("as usual", state)
        assert await page.value("document.querySelector('[aria-labelledby=panel-zones] .problem')") is None

    run_in_page(FACILITY, scenario)


def test_a_dialog_stays_open_while_its_command_is_pending(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.click("dialog button", "Cancel it")
        await page.shows("Sending", "dialog")
        for _ in range(3):
            await page.press("Escape")
        assert await page.value("document.querySelector('dialog button').disabled")
        await page.value("fails('too late'), 0")
        await page.shows("too late", "dialog[open] .problem")
        await page.press("Escape")
        await page.until("!document.querySelector('dialog')")

    run_in_page(SENDING, scenario)


def test_a_failure_is_reported_even_after_its_view_is_gone(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.click("dialog button", "Cancel it")
        await page.shows("Sending", "dialog")
        await page.value("show(false), fails('too late'), 0")
        await page.shows("Cancel?: too late", ".toasts")

    run_in_page(SENDING, scenario)


def test_a_page_opened_during_an_outage_at_an_undecodable_address_explains_its_wait(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("Loading", "#app")
        await page.shows("A store cannot be reached. The page tries again by itself.", "#app .problem")
        await page.value("answers['/api/session'] = [200, { role: 'dashboard' }]; 0")
        await page.until("document.title.startsWith('100% · DR events')")

    run_in_page(WHOLE, scenario)


CHART = "[aria-labelledby=panel-load-against-forecast]"
LOAD = "answers['/api/portfolio/load?hours=6&limit=500{}'] = {};"
FORESEEN = "answers['/api/portfolio/forecast'] = foreseen;"


async def _as_table(page: Page) -> str:
    await page.until(f"Boolean(document.querySelector('{CHART} canvas'))")
    await page.value(f"document.querySelector('{CHART} details').open = true")
    await page.until(f"Boolean(document.querySelector('{CHART} tbody tr'))")
    return str(await page.value(f"document.querySelector('{CHART} table').innerText"))


def test_without_a_forecast_the_load_is_drawn_as_the_sum_of_its_parts(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.value(LOAD.format("", "part(3, 'next')") + LOAD.format("&cursor=next", "part(4, null, 1)"))
        await page.value("show()")
        table = await _as_table(page)
        assert "21:15:00" in table
        assert "7.0" in table
        assert "21:00:00" not in table
        await page.shows("Not found", f"{CHART} .problem")

    run_in_page(PORTFOLIO, scenario)


def test_without_a_load_the_forecast_is_drawn_with_the_reason_for_the_missing_load(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await page.value(FORESEEN + "answers['/api/portfolio/load'] = [400, { title: 'Too many' }]; show()")
        assert "7.0" in await _as_table(page)
        await page.shows("Too many", f"{CHART} .problem")
        await page.shows("Not found", "[aria-labelledby=panel-facilities-by-state] .problem")

    run_in_page(PORTFOLIO, scenario)
