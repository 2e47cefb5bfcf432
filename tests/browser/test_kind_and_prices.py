"""The view of a DR event shows its kind, unless it is an ordinary event, and the prices that the utility sent."""

from tests.browser.answer_scripts import PRICED
from tests.browser.conftest import RunInPage
from tests.chromium import Page

GIVEN = """{ kind: "test", prices: [
  { starts_at: "2026-07-14T22:00:00Z", per_kwh: "-0.0100" }, { starts_at: "2026-07-14T21:00:00Z", per_kwh: "0.08123" },
] }"""
TABLE = "[aria-label='Prices of the DR event'] tbody"


def test_kind_and_prices_are_shown_as_the_utility_wrote_them(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.value(f"show({GIVEN})")
        await page.shows("per settlement interval, in the currency of summer-peak")
        cells = f'[...document.querySelectorAll("{TABLE} td")].map((cell) => cell.innerText)'
        assert await page.value(cells) == ["0.08123", "-0.0100"]
        await page.shows("Kind", ".facts")
        await page.shows("test", ".facts")

    run_in_page(PRICED, scenario)


def test_an_ordinary_event_without_prices_has_neither(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.value("show({ kind: 'event', prices: [] })")
        await page.shows("Particulars")
        facts = await page.value("document.querySelector('.facts').innerText")
        assert "Kind" not in facts
        assert await page.value(f'!document.querySelector("{TABLE}")')

    run_in_page(PRICED, scenario)
