"""The settlement of a DR event, a program's month and a facility's own statement on the page."""

import json

import msgspec
from msgspec.structs import replace

from tests.browser.answer_scripts import AUDIT
from tests.browser.conftest import RunInPage
from tests.browser.settlement_answers import AT, ID, OWN, OWN_KEY, REVISIONS, own_answers, page_of
from tests.browser.views import SIZES, THEMES, size
from tests.chromium import Page

EVENT_VIEW, MONTH_VIEW = f"#/dr-events/{ID}", "#/programs/summer-peak?period=2026-07"
OWN_VIEW = f"#/statements/{OWN}?period=2026-07"
PANEL = "[aria-labelledby=panel-settlement]"
OPERATOR, DASHBOARD = {"role": "operator"}, {"role": "dashboard"}
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
RECORDED = {
    "recorded": True,
    "revision": 2,
    "status": "settled",
    "reasons": [],
    "total": "1234.50",
    "currency": "USD",
}


async def rows(page: Page, caption: str) -> list[str]:
    """The rows of a table, once it is drawn, each in one line."""
    tables = "[...document.querySelectorAll('table')]"
    table = f"{tables}.find(one => one.caption.innerText.startsWith({json.dumps(caption)}))"
    await page.until(f"({table})?.tBodies[0].rows.length > 0")
    written = f"[...({table}).tBodies[0].rows].map(row => row.innerText.replace(/\\s+/g, ' ').trim())"
    found: list[str] = await page.value(written)
    return found


def test_a_settlement_shows_its_lines_in_numbers_and_its_revisions_side_by_side_with_reasons(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await page.go(EVENT_VIEW)
        await page.shows("1,386,528.20 USD", PANEL)
        lines = await rows(page, "Lines of the settlement")
        assert (
            "fac-002 Capacity 177,375.00 4,125.00 × 100.000 kW × 0.43 rule, version 3, dispatch measured"
            in lines
        )
        sides = await rows(page, "Lines of revisions 0 and 1")
        assert "fac-002 Energy +23.50 112.50 1.50 × 75.000 kWh 136.00 1.60 × 85.000 kWh" in sides
        assert "fac-001 Penalty none 0.00 -2.50 × 0.000 kWh 0.00 -2.50 × 0.000 kWh" in sides
        for said in ("A new settlement rule", "+64.82 USD", "Late or corrected readings", "+20,666.00 USD"):
            await page.shows(said, PANEL)
        assert (
            "fac-002 177,348.50 141,878.80 committed" in (await rows(page, "The settlement by facility"))[1]
        )
        assert any("Meter flat fac-003: 380.000 kW in 4 steps" in row for row in await rows(page, "Flags"))
        links = await page.value(
            "[...document.querySelectorAll('main a')].map(one => one.getAttribute('href'))"
        )
        assert f"#/dr-events/{ID}?facility=fac-002" in links
        assert f"#/audit/{ID}?event=domain-event-of-fac-002" in links
        assert f"{AT}/settlement?revision=1" in links
        await page.click(f"{PANEL} button", "rule, version 3")
        await page.shows("energy.rate", "#settlement-rule")
        await page.click(f"{PANEL} button", "Revision 0")
        await page.shows("1,365,797.38 USD", f"{PANEL} .total")
        await page.shows("revision 0 of 1", PANEL)

    run_in_page(page_of({"role": "admin"}), scenario)


def test_an_audit_link_with_the_id_of_a_domain_event_selects_its_step(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await page.value("stands(null, 'completed'); show('#/audit/1?event=event-2')")
        await page.until("document.querySelector('.audit-step[aria-current]')?.id === 'step-2'")

    run_in_page(AUDIT, scenario)


def test_an_operator_settles_with_a_reason_and_reads_the_refusals_of_the_api(run_in_page: RunInPage) -> None:
    refused = {"type": "/problems/settlement-final", "title": "Final", "detail": "final since 12 September"}

    async def scenario(page: Page) -> None:
        await page.go(EVENT_VIEW)
        await page.value(f"answers['{AT}/settlement'] = [409, {json.dumps(refused)}]; 0")
        await page.click(f"{PANEL} button", "Settle again…")
        await page.type("dialog textarea", "the auditor asked")
        await page.click("dialog button", "Settle it")
        await page.shows("final since 12 September", "dialog .problem")
        await page.value(
            f"answers['{AT}/settlement'] = (path, {{ body }}) => (window.sent = body, [200, {json.dumps(RECORDED)}]); 0"
        )
        await page.click("dialog button", "Settle it")
        await page.shows("Revision 2: settled at 1,234.50 USD.", ".toasts")
        assert json.loads(await page.value("sent")) == {"reason": "the auditor asked"}

    run_in_page(page_of(OPERATOR), scenario)


def test_what_is_not_settled_says_what_it_waits_for_or_why_it_cannot_be(run_in_page: RunInPage) -> None:
    no_rule = {
        "type": "/problems/not-settled-yet",
        "title": "Not settled",
        "detail": "agree a rule with a currency",
    }
    without = replace(
        REVISIONS.revisions[0],
        status="not_settled",
        reasons=("no_rule",),
        **dict.fromkeys(("digest", "total", "currency")),
    )
    waiting = replace(REVISIONS, revisions=(), waits_for="it waits until each of its facilities is measured")

    async def scenario(page: Page) -> None:
        await page.go(EVENT_VIEW)
        await page.shows("Not settled yet", PANEL)
        await page.shows("It waits until each of its facilities is measured.", PANEL)
        assert await page.value(f"document.querySelectorAll('{PANEL} .panel-head .button').length") == 0
        written = msgspec.json.encode((200, replace(REVISIONS, revisions=(without,)))).decode()
        await page.value(f"""answers['{AT}/settlement/revisions'] = {written};
          answers['{AT}/settlement?revision=0'] = [404, {json.dumps(no_rule)}];
          import("/static/query.js").then(({{ refetch }}) => refetch('{AT}'))""")
        await page.shows("Its program has no settlement rule. agree a rule with a currency", PANEL)

    answers = {f"{AT}/settlement/revisions": (200, waiting)}
    run_in_page(page_of(DASHBOARD, answers), scenario)


def test_a_month_of_a_program_has_its_dr_events_capacity_facilities_and_downloads(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await page.go("#/dr-events")
        await page.click("main a", "Statements")
        await page.click("main a", "summer-peak")
        await page.go(MONTH_VIEW)
        settled, waits = await rows(page, "DR events of the period")
        assert settled.startswith("UTIL-2026-0042 14 Jul, 18:00 – 20:00 422.38 0.72 settled revision 1 event")
        assert "it waits until each of its facilities is measured" in waits
        assert await rows(page, "Capacity of the period") == [
            "fac-002 1,000.00 × 150.000 kW × 1 × 1 month 0.38 1 150,000.00"
        ]
        assert (await rows(page, "The period by facility"))[1] == "fac-002 149,925.00 119,940.00"
        await page.shows("150,422.38", "main .figures")
        await page.shows("a settlement may still change; a DR event is not settled yet", "main")
        path = "/api/programs/summer-peak/statements/2026-07"
        assert await page.value(f"Boolean(document.querySelector('main a[href=\"{path}\"]'))")
        await page.value(
            f"answers['{path}'] = (path, {{ headers }}) => (window.accepted = headers.Accept, [500, {{}}]); 0"
        )
        await page.click("main button", "CSV")
        await page.until("window.accepted === 'text/csv'")
        await page.click("main button", "›")
        await page.until("location.hash.includes('2026-08')")
        await page.until("asked.includes('/api/programs/summer-peak/statements/2026-08')")

    run_in_page(page_of(DASHBOARD), scenario)


def test_a_key_of_one_facility_reads_its_own_statement_and_is_offered_nothing_else(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await page.go(OWN_VIEW)
        assert " -75.00 " in (await rows(page, "DR events of the period"))[0]
        await page.click("main button", "UTIL-2026-0042")
        await page.shows("177,348.50 USD", f"{PANEL} .total")
        assert {row.split()[0] for row in await rows(page, "Lines of the settlement")} == {OWN}
        links = await page.value(
            "[...document.querySelectorAll('main a')].map(one => one.getAttribute('href'))"
        )
        assert not [link for link in links if link.startswith(("#/dr-events", "#/programs", "#/audit"))]
        assert "Settle" not in str(
            await page.value(f"document.querySelector('{PANEL} .panel-head').innerText")
        ).replace("Settlement", "")
        await page.go("#/programs")
        await page.shows("Your role does not read a program's statement", "main")

    run_in_page(page_of(OWN_KEY, own_answers()), scenario)


def test_settlements_and_statements_fit_every_screen_in_both_themes_and_axe_finds_nothing_serious(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        for view, shown in (
            (EVENT_VIEW, "Settlement intervals"),
            (MONTH_VIEW, "By facility"),
            (OWN_VIEW, "Capacity of"),
        ):
            await page.go(view)
            await page.shows(shown, "main")
            await page.value("document.querySelectorAll('main details').forEach(one => { one.open = true })")
            for theme in THEMES:
                await page.prefers(theme)
                for name in SIZES:
                    await size(page, name)
                    assert await page.value(OVERFLOW) <= 0, (view, name)
                if theme == "light" or view == EVENT_VIEW:
                    assert await page.axe_findings() == [], (view, theme)
        assert [one for one in page.complaints if "exception" in one] == []

    run_in_page(page_of(OPERATOR), scenario)
