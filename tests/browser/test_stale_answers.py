"""The page's labels for stale answers, by path, and how it gets current ones."""

from tests.browser.answer_scripts import LIVE
from tests.browser.conftest import RunInPage
from tests.chromium import Page

BANNER = ".banner"
NO_BANNER = "!document.querySelector('.banner')"
ROWS, OTHERS, MORE = "/api/rows", "/api/others", "/api/more"
HASTE = """(() => {
  const now = Date.now, from = now();
  Date.now = () => from + 10 * (now() - from);
  Object.defineProperty(document, "hidden", { value: true });
})()"""
"""The clock is as much faster as time-outs are shorter; the page is hidden, so it does not poll."""
REPLICA = """(() => {
  window.lagS = 3;
  window.primary = window.replica = "one";
  window.written = (told) => {
    primary = told;
    setTimeout(() => (replica = told), lagS * 1000);
    said("dr-event", {});
  };
  const behind = () => [200, { told: replica }, { "X-Read-Models": `replica; lag_s=${lagS.toFixed(3)}` }];
  answers["/api/rows"] = answers["/api/others"] = behind;
  show();
})()"""
"""`written(told)` publishes a change on the stream at once; the replica that answers has it `lagS` later."""


def stale(told: str, source: str | None, age_s: int) -> str:
    """A stale answer."""
    body = f"{{ told: '{told}', source: {repr(source) if source else 'undefined'} }}"
    return f"[200, {body}, {{ 'X-Stale': 'true', Age: '{age_s}' }}]"


async def answer(page: Page, path: str, answered: str) -> None:
    await page.value(f"answers['{path}'] = {answered}, 0")


async def show(page: Page, *paths: str) -> None:
    await page.value(f"show({', '.join(map(repr, paths))})")


def test_a_current_answer_leaves_the_label_of_a_stale_one(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await answer(page, OTHERS, stale("old", "last_known", 45))
        await answer(page, MORE, "[200, { told: 'new' }]")
        await show(page, OTHERS)
        await page.shows("Figures are up to 45 s old.", BANNER)
        await show(page, OTHERS, MORE)
        await page.shows("new", "main p:last-of-type")
        await page.shows("Figures are up to 45 s old.", BANNER)
        await answer(page, OTHERS, "[200, { told: 'newest' }]")
        await page.shows("newest", "main p")
        await page.until(NO_BANNER)

    run_in_page(LIVE, scenario)


def test_the_label_of_data_that_is_no_longer_shown_is_removed(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await answer(page, OTHERS, stale("old", "last_known", 45))
        await answer(page, MORE, stale("older", "replica", 7))
        await show(page, OTHERS, MORE)
        await page.shows("Figures are up to 45 s old.", BANNER)
        await show(page, MORE)
        await page.shows("Figures are up to 7 s old.", BANNER)
        await show(page, ROWS)
        await page.until(NO_BANNER)

    run_in_page(LIVE, scenario)


def test_the_label_gives_the_reason_from_the_stale_answer(run_in_page: RunInPage) -> None:
    reasons = {
        "last_known": "A store does not answer",
        "replica": "They are of a replica",
        "read_models": "The read models are behind the log",
        None: "A store does not answer",
    }

    async def scenario(page: Page) -> None:
        for n, (source, reason) in enumerate(reasons.items()):
            await answer(page, f"{ROWS}/{n}", stale("old", source, 9))
            await show(page, f"{ROWS}/{n}")
            await page.shows(reason, BANNER)
        await page.value("said('state', { stale: true, age_s: 12, reason: 'database' })")
        await page.shows("The database does not answer", BANNER)

    run_in_page(LIVE, scenario)


def test_the_staleness_reported_by_a_stream_ends_with_the_stream(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("one", "main p")
        await page.value("said('open'), said('state', { stale: true, age_s: 12, reason: 'projections' })")
        await page.shows("Stale for 12 s", BANNER)
        await page.value("streams.at(-1).onerror(), 0")
        await page.until(NO_BANNER)

    run_in_page(LIVE, scenario)


def test_a_stale_answer_is_requested_again_until_it_is_current(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.value("said('open')")
        await answer(page, OTHERS, stale("old", "last_known", 90))
        await show(page, OTHERS)
        await page.until(f"many('{OTHERS}') >= 3")
        await answer(page, OTHERS, "[200, { told: 'new' }]")
        await page.shows("new", "main p")
        asked = await page.value(f"many('{OTHERS}')")
        await page.value("new Promise(done => setTimeout(done, 15000))")
        assert await page.value(f"many('{OTHERS}')") == asked

    run_in_page(LIVE, scenario)


def test_a_published_change_that_a_replica_lacks_is_read_once_the_replica_has_it(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await page.value(f"{HASTE}, {REPLICA}, show('{ROWS}')")
        await page.shows("one", "main p")
        await page.value("written('two'), 0")
        await page.shows("two", "main p")
        asked = await page.value("many()")
        await page.value("new Promise(done => setTimeout(done, 40000))")
        assert await page.value("many()") <= asked + 1

    run_in_page(LIVE, scenario)


def test_a_page_opened_after_a_published_change_is_read_again_too(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.value(f"{HASTE}, {REPLICA}, show('{ROWS}')")
        await page.shows("one", "main p")
        await page.value(
            f"lagS = 20, written('two'), new Promise(done => setTimeout(done, 400)).then(() => show('{OTHERS}'))"
        )
        await page.shows("two", "main p")
        assert await page.value(f"many('{OTHERS}')") > 1

    run_in_page(LIVE, scenario)
