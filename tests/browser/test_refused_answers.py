"""What the page shows where an answer is refused, missing or not of now: what it knows, called what it is."""

from tests.browser.answer_scripts import AUDIT, CLOCK, FACILITY
from tests.browser.conftest import Told
from tests.chromium import Page


def test_a_moment_that_cannot_be_read_leaves_what_is_shown_under_its_own_moment(told: Told) -> None:
    async def story(page: Page) -> None:
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

    told(AUDIT, story)


def test_a_moment_that_cannot_be_read_is_not_called_now_where_nothing_is_shown_yet(told: Told) -> None:
    async def story(page: Page) -> None:
        await page.value("refused(2); show('#/audit/1?as_of=2')")
        await page.shows("A store is away", "main .problem")
        assert "trail, printed" in await page.value("document.querySelector('.printed').textContent")

    told(AUDIT, story)


def test_a_meter_that_says_nothing_new_grows_older_on_the_page(told: Told) -> None:
    async def story(page: Page) -> None:
        await page.shows("5 s old", "main .figures")
        await page.value("again('/api/facilities/fac-001/current')")
        await page.until("asked.filter(path => path.endsWith('/current')).length === 2")
        await page.shows("6 s old", "main .figures")

    told(FACILITY, story)


def test_the_servers_clock_goes_on_when_it_says_the_same_moment_again_and_as_fast_as_it_did(
    told: Told,
) -> None:
    async def story(page: Page) -> None:
        await page.value("noted(0, 1000); noted(10, 1010)")
        assert await page.value("then(10)") == 1010
        await page.value("noted(20, 1010); noted(30, 1005)")
        assert await page.value("then(40)") == 1040
        await page.value("noted(40, 1640); noted(50, 1840)")
        assert await page.value("then(60)") == 2040

    told(CLOCK, story)
