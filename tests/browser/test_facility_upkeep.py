"""What the page shows of a facility's service, and of groups: actions by role and status, heated zones, totals."""

import json
from typing import Any

import pytest

from tests.browser.answer_scripts import FACILITY
from tests.browser.conftest import RunInPage
from tests.chromium import Page

BUTTONS = "[...document.querySelectorAll('.page-head .actions button')].map((one) => one.textContent)"
AT = "/api/facilities/fac-001"


async def show_as(page: Page, role: str, **changes: Any) -> None:
    """Show a facility with these changes to a person of that role."""
    await page.shows("fac-001", ".page-head h1")
    await page.value(
        f"import('/static/session.js').then(({{ session }}) => {{ session.set({{ role: '{role}' }}); "
        f"answers['{AT}'] = [200, {{ ...answers['{AT}'][1], ...{json.dumps(changes)} }}]; again('{AT}'); return 0; }})"
    )


@pytest.mark.parametrize(
    ("role", "changes", "expected"),
    [
        ("operator", {}, ["Start maintenance…", "Opt out…", "Deactivate…"]),
        ("operator", {"status": "deactivated", "status_reason": "sold"}, ["Reactivate…"]),
        ("owner", {}, ["Opt out…"]),
        ("owner", {"opted_out": True, "opted_out_by_owner": True}, ["Opt in…"]),
        ("owner", {"opted_out": True, "opted_out_by_owner": False}, []),
        ("owner", {"status": "deactivated"}, []),
        ("dashboard", {}, []),
    ],
)
def test_a_person_is_offered_what_the_role_and_the_status_allow(
    run_in_page: RunInPage, role: str, changes: dict[str, Any], expected: list[str]
) -> None:
    async def scenario(page: Page) -> None:
        await show_as(page, role, **changes)
        await page.until(f"{BUTTONS}.join() === {json.dumps(','.join(expected))}")

    run_in_page(FACILITY, scenario)


def test_a_heated_zone_is_shown_with_its_direction_and_both_limits(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        zone = {
            "zone_id": "zone-1",
            "strategy": "setpoint_offset",
            "max_magnitude": -2,
            "curtailable_kw": 5,
            "comfort_limit_c": 26,
            "lower_comfort_limit_c": 18,
        }
        await show_as(page, "operator", zones=[zone], groups=["schools", "north"])
        await page.shows("lowered by at most 2 K", "[aria-labelledby=panel-zones]")
        await page.shows("18 to 26 °C", "[aria-labelledby=panel-zones]")
        await page.shows("schools, north", "main")

    run_in_page(FACILITY, scenario)


def test_a_move_to_come_is_shown_beside_the_time_zone_in_force(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        history = [{"tz": "UTC", "from_day": None}, {"tz": "Europe/London", "from_day": "2026-12-01"}]
        await show_as(page, "operator", location_history=history)
        await page.shows("UTC, Europe/London from 2026-12-01", "main")

    run_in_page(FACILITY, scenario)


def test_the_list_of_facilities_sums_each_group(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        group = {
            "group": "schools",
            "facilities": 3,
            "active_facilities": 2,
            "declared_kw": 90,
            "available_kw": 30,
        }
        answer = json.dumps({"items": [{**group, "reserved_kw": 30}]})
        await page.value(f"answers['/api/portfolio/groups'] = [200, {answer}]; 0")
        await page.value(
            "Promise.all(['dom', 'views/facility'].map((name) => import(`/static/${name}.js`)))"
            ".then(([{ html, render }, { FacilitiesView }]) => (render(html`<${FacilitiesView} />`, main), 0))"
        )
        await page.shows("schools", "[aria-labelledby=panel-groups] tbody")
        await page.shows("90.0", "[aria-labelledby=panel-groups] tbody")

    run_in_page(FACILITY, scenario)
