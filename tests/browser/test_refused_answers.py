"""What the page shows where an answer is refused, missing or not of now: what it knows, called what it is."""

from tests.browser.answer_scripts import AUDIT
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
