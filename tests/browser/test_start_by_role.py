"""Where each role starts, which views it is offered, and that it is shown no refusal."""

from typing import Any

import pytest

from tests.browser.conftest import RunInPage
from tests.browser.demanding_answers import DR_EVENT, FACILITIES, UTILITY, answers_for
from tests.browser.whole_page import whole_page
from tests.chromium import Page

OWN = FACILITIES[0]
ALL = ["Portfolio", "DR events", "Facilities", "Audit", "Changes", "Operations", "Setup"]
DRAWN = (
    "document.querySelector('main h1') && !document.querySelector('main .skeleton, main [aria-busy=true]')"
)
CASES: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"role": "owner", "facility_id": OWN}, OWN, ["Facility", "Statement"]),
    ({"role": "dashboard", "facility_id": OWN}, OWN, ["Facility", "Statement"]),
    ({"role": "utility", "utility_id": UTILITY}, "DR events", ["DR events", "Statements"]),
    ({"role": "dashboard"}, "Portfolio", ALL[:3]),
    ({"role": "operator"}, "Portfolio", [*ALL[:3], *ALL[4:]]),
    ({"role": "auditor"}, "Portfolio", ALL[:5]),
    ({"role": "admin"}, "Portfolio", ALL),
]


@pytest.mark.parametrize(
    ("session", "title", "offered"), CASES, ids=lambda one: "-".join(one) if isinstance(one, dict) else ""
)
def test_a_person_starts_where_the_key_may_be_and_is_refused_nowhere(
    run_in_page: RunInPage, session: dict[str, Any], title: str, offered: list[str]
) -> None:
    given = answers_for(session)
    refused = [path for path, (status, _) in given.items() if status == 403]

    async def scenario(page: Page) -> None:
        await page.shows(title, "main h1")
        links = "[...document.querySelectorAll('.nav a')]"
        assert await page.value(f"{links}.map((one) => one.innerText.trim())") == offered
        assert await page.value("document.querySelector('.nav [aria-current]').innerText.trim()") in {
            title,
            offered[0],
        }
        addresses = await page.value(f"{links}.map((one) => one.getAttribute('href'))")
        if session["role"] in {"utility", "auditor"}:
            addresses.append(f"#/dr-events/{DR_EVENT}")
        for address in addresses:
            await page.go(address)
            await page.until(DRAWN)
            await page.value("new Promise((done) => setTimeout(done, 100))")
            await page.until(DRAWN)
            assert (
                await page.value(
                    "[...document.querySelectorAll('main .problem')].map((one) => one.innerText)"
                )
                == []
            )
        asked = {path.split("?")[0] for path in await page.value("window.asked")}
        assert asked & set(refused) == set()

    run_in_page(whole_page(session, given), scenario)


def test_an_address_that_a_key_may_not_see_says_so_and_leads_back(run_in_page: RunInPage) -> None:
    session = {"role": "utility", "utility_id": UTILITY}

    async def scenario(page: Page) -> None:
        await page.go(f"#/facilities/{OWN}")
        await page.shows("Your role does not read this view", "main")
        assert await page.value("document.querySelectorAll('main .problem').length") == 0
        await page.click("main a", "To what your key may see")
        await page.shows("DR events", "main h1")

    run_in_page(whole_page(session, answers_for(session)), scenario)
