"""The forms of the page: a facility, a program, keys, and a portfolio file with its difference before the import."""

import json
from typing import Any

import pytest

from tests.browser.answer_scripts import served
from tests.browser.conftest import RunInPage
from tests.browser.views import THEMES
from tests.chromium import Page
from tests.unit.interfaces.web.api.test_facility_registration import ENTRY

FACILITY = ENTRY | {
    "facility_id": "fac-001",
    "latitude": None,
    "longitude": None,
    "weather_cell": "default",
    "region": None,
    "in_force_from": None,
    "zones": [{"zone_id": "zone-1", "curtailable_kw": 40, "strategy": "setpoint_offset", "max_magnitude": 3}],
    "bms": {
        "address": "https://bms.example/1",
        "profile": "two_phase",
        "credentials_ref": "env:GRIDPROOF_SECRET_BMS_WEST",
    },
    "programs": [{"program_id": "summer-peak", "kw": None, "level_kw": None}],
    "groups": ["north"],
    "dr_events_per_day": 2,
}
PROGRAM = {
    "program_id": "summer-peak",
    "utility_id": "city-power",
    "rank": 1,
    "baseline": {"method": "caiso-10-in-10", "parameters": {}},
    "settlement": {"currency": "USD"},
    "two_phase": True,
}
KEY = {
    "key_id": "3f9a1c0b77de",
    "role": "operator",
    "utility_id": None,
    "facility_id": None,
    "name": "night shift",
    "created_at": "2026-07-14T12:00:00Z",
    "expires_at": None,
    "revoked_at": None,
    "replaces": None,
    "last_used_at": "2026-07-14T20:00:00Z",
    "is_valid": True,
}
NEW_KEY = {"api_key": KEY | {"key_id": "aaaaaaaaaaaa"}, "key": "gpk_aaaaaaaaaaaa_shown-once"}
CHANGES = {
    "utilities": [],
    "programs": [
        {
            "program_id": "summer-peak",
            "version": 2,
            "is_new": False,
            "changes": [{"member": "rate_per_kw", "before": "0", "after": "1.5"}],
        }
    ],
    "facilities": [
        {"facility_id": "fac-900", "is_new": True, "domain_events": ["facility.registered.v1"], "changes": []}
    ],
    "program_events": 1,
}
REPORT = {"utilities": 0, "programs": 1, "facilities": 1, "domain_events": 7, "changes": CHANGES}
LOGINS = {"is_managed": True, "mqtt_port": 1883, "items": [{"facility_id": "fac-002"}], "tasks": []}
CHECKED = {
    "task_id": "00000000-0000-0000-0000-000000000002",
    "kind": "check_history",
    "file_name": "load.csv",
    "state": "done",
    "phase": "checking",
    "done": 0,
    "total": None,
    "problem": None,
    "result": {
        "checked": {
            "rows": 35040,
            "facilities": 1,
            "listed": [
                {
                    "facility_id": "fac-001",
                    "step_s": 900,
                    "rows": 35040,
                    "missing": 96,
                    "gaps": 1,
                    "starts_at": "2025-07-01T00:00:00Z",
                    "ends_at": "2026-07-01T00:00:00Z",
                }
            ],
            "counts": {"gap": 1},
            "findings": [
                {
                    "facility_id": "fac-001",
                    "finding": {
                        "kind": "gap",
                        "starts_at": "2026-02-03T00:00:00Z",
                        "ends_at": "2026-02-04T00:00:00Z",
                        "rows": 96,
                        "line": None,
                        "detail": "96 steps are not there",
                    },
                }
            ],
        }
    },
}
IMPORT = {
    "import_id": "00000000-0000-0000-0000-000000000003",
    "begun_at": "2026-07-14T12:00:00Z",
    "begun_by": "admin:3f9a1c0b77de",
    "file_sha256": "ab" * 32,
    "rows": 35040,
    "facilities": 1,
    "starts_at": "2025-07-01T00:00:00Z",
    "ends_at": "2026-07-01T00:00:00Z",
    "added": 35040,
    "changed": 0,
    "state": "complete",
    "taken_back_at": None,
    "taken_back_by": None,
    "reason": None,
}
ANSWERS = {
    "/api/meter-logins": LOGINS,
    "/api/history/imports": {"is_served": True, "task": CHECKED, "items": [IMPORT]},
    "/api/portfolio/facilities/fac-001": FACILITY,
    "/api/portfolio/programs/summer-peak": PROGRAM,
    "/api/portfolio/utilities": {"items": [{"utility_id": "city-power", "name": "City Power"}]},
    "/api/portfolio/secret-references": {
        "items": [{"reference": f"env:GRIDPROOF_SECRET_BMS_{name}"} for name in ("WEST", "NORTH")]
    },
    "/api/keys": {
        "items": [KEY, KEY | {"key_id": "b", "is_valid": False, "revoked_at": "2026-07-14T21:00:00Z"}]
    },
}


def page_of(view: str | None, role: str) -> str:
    """The view of setting up at that place. `refuse(path, reasons)` and `take(path, document)` say what is answered;
    `sent` is the last body."""
    return served(f"""
      const {{ html, render }} = await import("/static/dom.js");
      const {{ session }} = await import("/static/session.js");
      const {{ SetupView }} = await import("/static/views/setup/setup.js");
      const head = (tag, of) => document.head.append(Object.assign(document.createElement(tag), of));
      document.documentElement.lang = "en";
      document.title = "Setup";
      for (const file of ["tokens", "base", "parts", "data", "audit"]) {{
        head("link", {{ rel: "stylesheet", href: `/static/styles/${{file}}.css` }});
      }}
      for (const [path, body] of Object.entries({json.dumps(ANSWERS)})) answers[path] = [200, body];
      const heard = (path, answer) =>
        (answers[path] = (asked, options) =>
        options.method ? ((window.sent = JSON.parse(options.body ?? "null")), answer) : [404, {{}}]);
      window.take = (path, document) => (heard(path, [200, document]), 0);
      window.refuse = (path, reasons) =>
        (heard(path, [400, {{ title: "Some fields are wrong", detail: "some fields are wrong", reasons }}]), 0);
      session.set({{ phase: "signed-in", role: "{role}" }});
      render(html`<${{SetupView}} id=${{{json.dumps(view)}}} />`, main);
    """)


async def set_field(page: Page, name: str, value: str) -> None:
    """What a person types in place of what stands there."""
    await page.until(f"Boolean(document.getElementById('field-{name}'))")
    await page.value(
        f"(() => {{ const field = document.getElementById('field-{name}'); field.value = {json.dumps(value)}; "
        "field.dispatchEvent(new Event(field.tagName === 'SELECT' ? 'change' : 'input', { bubbles: true })); })()"
    )


def test_a_facility_is_edited_from_what_is_recorded_and_refused_beside_the_field(
    run_in_page: RunInPage,
) -> None:
    async def scenario(page: Page) -> None:
        await set_field(page, "zones-0-curtailable_kw", "45.50")
        await set_field(page, "groups", "north, schools")
        reasons = [{"code": "invalid_field", "field": "zones[0].curtailable_kw", "detail": "is far too much"}]
        await page.value(f"refuse('/api/facilities', {json.dumps(reasons)})")
        await page.click("form button", "Save")
        await page.shows("is far too much", ".field:has(#field-zones-0-curtailable_kw) .wrong")
        assert (
            await page.value("document.querySelector('[aria-invalid]').id") == "field-zones-0-curtailable_kw"
        )
        await page.value("take('/api/facilities', { facility_id: 'fac-001', domain_events: 2 })")
        await page.click("form button", "Save")
        await page.until("location.hash === '#/facilities/fac-001'")
        assert await page.value("sent") == FACILITY | {
            "zones": [FACILITY["zones"][0] | {"curtailable_kw": 45.5}],
            "groups": ["north", "schools"],
        }

    run_in_page(page_of("facility/fac-001", "operator"), scenario)


def test_an_admin_sets_address_and_credentials_from_the_names_that_exist(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.until("document.querySelectorAll('#bms-secrets option').length === 2")
        names = "[...document.querySelectorAll('#bms-secrets option')].map(one => one.value)"
        assert await page.value(names) == [
            "env:GRIDPROOF_SECRET_BMS_WEST",
            "env:GRIDPROOF_SECRET_BMS_NORTH",
        ]
        disabled = "['address', 'credentials_ref'].map(name => document.getElementById(`field-bms-${name}`).disabled)"
        assert await page.value(disabled) == [False] * 2

    run_in_page(page_of("facility/fac-001", "admin"), scenario)


def test_an_operator_sees_the_address_and_not_where_the_credentials_are(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.until("Boolean(document.getElementById('field-bms-address'))")
        assert await page.value("document.getElementById('field-bms-address').disabled")
        assert not await page.value("Boolean(document.getElementById('field-bms-credentials_ref'))")

    run_in_page(page_of("facility/fac-001", "operator"), scenario)


def test_zones_are_added_and_taken_away(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.click("form button", "Add zone")
        await set_field(page, "zones-1-zone_id", "hall")
        await set_field(page, "zones-1-curtailable_kw", "12")
        await page.click("form button", "Remove zone 1")
        await page.until("document.getElementById('field-zones-0-zone_id').value === 'hall'")
        await page.value("take('/api/facilities', { facility_id: 'fac-001', domain_events: 0 })")
        await page.click("form button", "Save")
        await page.until("Boolean(window.sent)")
        assert [one["zone_id"] for one in await page.value("sent.zones")] == ["hall"]
        assert await page.value("sent.zones[0].curtailable_kw") == 12

    run_in_page(page_of("facility/fac-001", "admin"), scenario)


def test_a_program_is_agreed_and_what_is_no_json_is_refused_by_the_api(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await set_field(page, "rank", "3")
        await set_field(page, "settlement", '{"currency": ')
        reasons = [{"code": "invalid_field", "field": "settlement", "detail": "Expected `object | null`"}]
        await page.value(f"refuse('/api/programs', {json.dumps(reasons)})")
        await page.click("form button", "Agree")
        await page.shows("Expected", ".field:has(#field-settlement) .wrong")
        await set_field(page, "settlement", '{"currency": "EUR"}')
        await page.value("take('/api/programs', { program_id: 'summer-peak', version: 2 })")
        await page.click("form button", "Agree")
        await page.until("location.hash === '#/programs/summer-peak'")
        assert await page.value("sent") == PROGRAM | {"rank": 3, "settlement": {"currency": "EUR"}}

    run_in_page(page_of("program/summer-peak", "operator"), scenario)


def test_a_key_is_made_and_shown_once_and_another_one_revoked(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("night shift", "table")
        revoked = json.dumps(KEY)
        at = "/api/keys/3f9a1c0b77de"
        await page.value(
            f"answers['{at}'] = (path, {{ method }}) => (window.how = method, [200, {revoked}]); 0"
        )
        await page.click("button", "Revoke…")
        await page.shows("cannot be taken back", "dialog")
        await page.click("dialog button", "Revoke it")
        await page.until("window.how === 'DELETE' && !document.querySelector('dialog')")
        await page.click("button", "New key…")
        await set_field(page, "role", "utility")
        await set_field(page, "utility_id", "city-power")
        await page.value(f"take('/api/keys', {json.dumps(NEW_KEY)})")
        await page.click("dialog button", "Make it")
        await page.until(f"document.querySelector('dialog input')?.value === '{NEW_KEY['key']}'")
        assert await page.value("sent") == {
            "role": "utility",
            "name": None,
            "utility_id": "city-power",
            "expires_at": None,
        }
        await page.click("dialog button", "I have it")
        await page.until(f"!document.documentElement.outerHTML.includes('{NEW_KEY['key']}')")

    run_in_page(page_of("keys", "admin"), scenario)


def test_a_portfolio_file_shows_its_difference_before_it_is_imported(run_in_page: RunInPage) -> None:
    async def choose(page: Page) -> None:
        await page.until("Boolean(document.getElementById('portfolio-file'))")
        await page.value(
            "(() => { const input = document.getElementById('portfolio-file'), files = new DataTransfer();"
            "files.items.add(new File(['programs: []'], 'portfolio.yaml')); input.files = files.files;"
            "input.dispatchEvent(new Event('change', { bubbles: true })); })()"
        )

    async def scenario(page: Page) -> None:
        at = "/api/portfolio/imports"
        wrong = [{"code": "invalid_portfolio", "detail": "programs[0].rank: is missing"}]
        await page.value(f"refuse('{at}', {json.dumps(wrong)})")
        await choose(page)
        await page.shows("programs[0].rank: is missing", ".problem")
        await page.value(f"take('{at}', {json.dumps(REPORT | {'dry_run': True})})")
        await choose(page)
        await page.shows("rate_per_kw", "table")
        await page.shows("facility fac-900", "table")
        assert await page.value("sent") == {"file": "programs: []", "dry_run": True}
        lines = [{"done": 1, "of": 2}, {"done": 2, "of": 2}, {"report": REPORT | {"dry_run": False}}]
        await page.value("""window.bars = []; new MutationObserver(() => {
          const bar = document.querySelector("main progress");
          if (bar?.hasAttribute("value")) bars.push([bar.value, bar.max, bar.nextSibling.textContent]);
        }).observe(main, { childList: true, subtree: true, attributes: true, characterData: true })""")
        await page.value(f"take('{at}/progress', {json.dumps(lines)})")
        await page.click("button", "Import it")
        await page.shows("7 domain events were recorded", "main")
        assert await page.value("sent") == {"file": "programs: []"}
        assert (await page.value("bars"))[-1] == [2, 2, "2 of 2 entries"]

    run_in_page(page_of("import", "admin"), scenario)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("admin", ["Register a facility", "Register a program", "Import", "Keys"]),
        ("operator", ["Register a facility", "Register a program"]),
        ("dashboard", []),
    ],
)
def test_a_person_is_offered_what_the_role_may_set_up(
    run_in_page: RunInPage, role: str, expected: list[str]
) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("Setup")
        assert (
            await page.value("[...document.querySelectorAll('h2')].map(one => one.textContent)") == expected
        )

    run_in_page(page_of(None, role), scenario)


def test_every_program_is_listed_with_its_rates_also_one_without_dr_events(run_in_page: RunInPage) -> None:
    terms = {"rate_per_kw": "1.5", "rate_per_kwh": "0.35"}
    program = {"program_id": "winter-peak", "utility_id": "city-power", "version": 2, "terms": terms}
    listed = json.dumps({"items": [program | {"agreed_at": "2026-07-14T12:00:00Z"}], "next_cursor": None})

    async def scenario(page: Page) -> None:
        await page.value(f"answers['/api/programs'] = [200, {listed}]; 0")
        await page.value(
            "Promise.all(['dom', 'views/settlement/statement'].map((name) => import(`/static/${name}.js`)))"
            ".then(([{ html, render }, { ProgramsView }]) => "
            "(render(html`<${ProgramsView} options=${new URLSearchParams()} />`, main), 0))"
        )
        await page.shows("winter-peak", "tbody")
        await page.shows("0.35", "tbody")
        assert await page.value("document.querySelector('.page-head .actions a').hash") == "#/setup/program"

    run_in_page(page_of(None, "operator"), scenario)


@pytest.mark.parametrize("view", ["facility/fac-001", "program/summer-peak", "keys", "import", None])
def test_the_forms_fit_every_screen_in_both_themes_and_axe_finds_nothing_serious(
    run_in_page: RunInPage, view: str | None
) -> None:
    async def scenario(page: Page) -> None:
        await page.until("Boolean(document.querySelector('h1')) && !document.querySelector('.skeleton')")
        for theme in THEMES:
            await page.prefers(theme)
            for width in (390, 1440):
                await page.size(width, 1_000)
                over: Any = await page.value(
                    "[...document.querySelectorAll('main .panel, main input, main select, main textarea')]"
                    ".filter(one => !one.closest('table') && one.getBoundingClientRect().right > innerWidth)"
                    ".map(one => one.id || one.textContent)"
                )
                assert over == [], (theme, width)
            assert await page.axe_findings() == [], theme

    run_in_page(page_of(view, "admin"), scenario)
