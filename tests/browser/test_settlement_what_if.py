"""What-if in money on the page: the form asks, refuses what the server refuses, and shows both settlements by line."""

import json
from typing import Any

import pytest

from tests.browser.answer_scripts import served
from tests.browser.conftest import RunInPage
from tests.chromium import Page

PATH = "/api/dr-events/1/what-if"
LINE = {"note": None, "quantity": None, "rate": None, "factor": None, "formula": "1.50 x 120.000 kWh"}
SIDE = {"status": "settled", "reasons": [], "level": "facility", "performance": "1.0000"}
ENERGY = {**LINE, "unit": "fac-001", "component": "energy", "amount": "180.00"}
PENALTY = {
    **LINE,
    "unit": "fac-002",
    "component": "penalty",
    "amount": "-10.00",
    "formula": "-0.50 x 20.000 kWh",
}
GROSS = {"counted": True, "reason": None, "committed_kwh": "100.000", "delivered_kwh": "120.000"}
ANSWER: dict[str, Any] = {
    "currency": "USD",
    "in_force": {**SIDE, "lines": [ENERGY, PENALTY], "total": "170.00"},
    "what_if": {
        **SIDE,
        "lines": [{**ENERGY, "amount": "360.00", "formula": "3.00 x 120.000 kWh"}],
        "total": "360.00",
    },
    "changes": [
        {"unit": "fac-001", "component": "energy", "old": "180.00", "new": "360.00", "difference": "180.00"},
        {"unit": "fac-002", "component": "penalty", "old": "-10.00", "new": "0.00", "difference": "10.00"},
    ],
    "by_reason": [{"why": "rule", "amount": "180.00"}, {"why": "event", "amount": "10.00"}],
    "difference": "190.00",
    "facilities": [
        {
            "facility_id": "fac-001",
            "in_force": {**GROSS, "gross": "180.00", "net": "180.00"},
            "what_if": {**GROSS, "gross": "360.00", "net": "360.00"},
            "difference": "180.00",
        },
        {
            "facility_id": "fac-002",
            "in_force": {**GROSS, "gross": "-10.00", "net": "-10.00"},
            "what_if": None,
            "difference": "10.00",
        },
    ],
    "program_id": "summer-peak",
    "program_version": 1,
    "revision": 0,
    "as_of": None,
    "position": 60,
    "alteration": {"rule": "version 2", "baseline": None, "without": ["fac-002"]},
    "measured_again": {},
}
SCRIPT = served(f"""
  const {{ html, render }} = await import("/static/dom.js");
  const {{ session }} = await import("/static/session.js");
  const {{ WhatIf }} = await import("/static/views/settlement/what_if.js");
  window.sent = [];
  const keep = (options) => sent.push(JSON.parse(options.body));
  window.answer = (status, body) => answers["{PATH}"] = (path, options) => (keep(options), [status, body]);
  window.as = (role) => (session.set({{ phase: "signed-in", role }}),
    render(html`<${{WhatIf}} id="1" facilities=${{["fac-001", "fac-002", "fac-0020"]}} />`, main), 0);
  as("operator");
""")
FORM = "[aria-labelledby=panel-what-if]"
LABELS = f"[...document.querySelectorAll('{FORM} label')].map((one) => one.textContent)"


async def choose(page: Page, label: str, value: str) -> None:
    """Choose or type a value into the control of that label, as the browser's own list of suggestions does."""
    labels, named = "[...document.querySelectorAll('label')]", f"one.textContent === {json.dumps(label)}"
    await page.until(f"{labels}.some((one) => {named})")
    await page.value(
        f"""((one) => {{
          one.value = {json.dumps(value)};
          one.dispatchEvent(new Event(one.tagName === "SELECT" ? "change" : "input", {{ bubbles: true }}));
          return 0;
        }})(document.getElementById({labels}.find((one) => {named}).htmlFor))"""
    )


async def cells(page: Page, caption: str) -> list[list[str]]:
    rows = f"[...document.querySelectorAll('[aria-label=\"{caption}\"] tbody tr')]"
    await page.until(f"Boolean({rows}.length)")
    found = await page.value(f"{rows}.map((row) => [...row.children].map((cell) => cell.innerText))")
    return list(found)


def test_the_answer_shows_both_settlements_by_line_and_by_facility(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.value(f"answer(200, {json.dumps(ANSWER)}); 0")
        await choose(page, "Rule", "version")
        await choose(page, "Version", "2")
        await choose(page, "Without a facility", "fac-002")
        await page.shows("fac-002 ×", FORM)
        await page.click(f"{FORM} button", "Compute")
        await page.shows("What if: 360.00 USD, in force: 170.00 USD. Difference: +190.00 USD.", FORM)
        assert await page.value("sent") == [{"program_version": 2, "without": ["fac-002"]}]
        assert await cells(page, "Lines of both settlements") == [
            ["fac-001", "energy", "180.00", "360.00", "+180.00", "3.00 x 120.000 kWh"],
            ["fac-002", "penalty", "-10.00", "–", "+10.00", "–"],
        ]
        assert (await cells(page, "Facilities in both settlements"))[1][:4] == [
            "fac-002",
            "-10.00",
            "–",
            "+10.00",
        ]
        await page.shows("the rule +180.00, the facilities +10.00", FORM)
        assert [one for one in await page.axe_findings() if "<html>" not in one] == []

    run_in_page(SCRIPT, scenario)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([], "Choose what is to be different"),
        ([("Rule", "version"), ("Version", "two")], "Give the number of a version"),
        ([("Rule", "text"), ("Rule as JSON", "{")], "The rule is no JSON"),
        ([("Rule", "text"), ("Rule as JSON", "[]")], "not a JSON object"),
        ([("Baseline", "x-of-y"), ("Days looked at", "ten")], "Days looked at: ten is no number"),
    ],
)
def test_what_is_wrong_with_the_form_is_said_at_its_field_and_nothing_is_sent(
    run_in_page: RunInPage, fields: list[tuple[str, str]], text: str
) -> None:
    async def scenario(page: Page) -> None:
        for label, value in fields:
            await choose(page, label, value)
        await page.click(f"{FORM} button", "Compute")
        await page.shows(text, f"{FORM} [role=alert]")
        assert await page.value("sent") == []

    run_in_page(SCRIPT, scenario)


def test_a_refusal_of_the_server_is_shown_with_its_reasons(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        reasons = [
            {"code": "currency", "detail": "settled in USD, the new rule pays in EUR: nothing is converted"}
        ]
        problem = {
            "title": "There are no amounts to compare",
            "detail": reasons[0]["detail"],
            "reasons": reasons,
        }
        await page.value(f"answer(422, {json.dumps(problem)}); 0")
        await choose(page, "Rule", "text")
        await choose(page, "Rule as JSON", '{"currency": "EUR"}')
        await choose(page, "Baseline", "firm-service-level")
        await choose(page, "Level, kW", "400")
        await page.click(f"{FORM} button", "Compute")
        await page.shows("nothing is converted", f"{FORM} .problem")
        baseline = {"method": "firm-service-level", "parameters": {"level_kw": 400}}
        assert await page.value("sent") == [{"rule": {"currency": "EUR"}, "baseline": baseline}]

    run_in_page(SCRIPT, scenario)


def test_a_utility_is_not_offered_another_baseline(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        assert await page.value(LABELS) == ["Rule", "Baseline", "Without a facility"]
        await page.value("as('utility')")
        await page.until(f"{LABELS}.join() === 'Rule,Without a facility'")

    run_in_page(SCRIPT, scenario)


def test_a_name_that_begins_another_is_left_out_only_when_it_is_confirmed(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.until(f"{LABELS}.length === 3")
        await page.type(f"{FORM} input[list]", "fac-002")
        await page.press("Enter")
        await page.shows("fac-002 ×", FORM)
        await page.type(f"{FORM} input[list]", "fac-0020")
        await page.click(f"{FORM} button", "Leave it out")
        await page.shows("fac-0020 ×", FORM)
        await page.click(f"{FORM} [aria-label='Keep fac-002']")
        await page.until(f"document.querySelectorAll('{FORM} [aria-label=\"Left out\"] li').length === 1")

    run_in_page(SCRIPT, scenario)
