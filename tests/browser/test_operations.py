"""The operations view in a real browser: open alerts and dead letters, and a decision with a reason."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from application.ports.operations.dead_letters import DeadLetter
from tests.acceptance.api.running_api import CLOCK, Door, running_door
from tests.chromium import Page, opened_page
from tests.open_alerts import begin_alert
from tests.servers import Database

LETTER = UUID(int=7)
Opened = Callable[[str, str], AbstractAsyncContextManager[Page]]
"""Opens the view at the API's address with an API key."""


def park(door: Door) -> None:
    letter = DeadLetter(
        dead_letter_id=LETTER,
        queue="callback",
        subject="util-1/c-7",
        reason="HTTP 500 <b>from</b> the utility",
        body=b'{"kind":"started"}',
        parked_at=CLOCK.now(),
    )
    PostgresDeadLetters(door.pool).park(letter)


async def decide(page: Page, button: str, reason: str, confirm: str) -> None:
    """Press `button`, give the reason in the dialog and confirm; returns when the dialog has closed."""
    await page.click("main button", button)
    await page.type("dialog[open] textarea", reason)
    await page.click("dialog button", confirm)
    await page.until("!document.querySelector('dialog')")


@pytest.fixture
def operations_opened(tmp_path: Path, debian_command: Callable[[str], Path]) -> Opened:
    @asynccontextmanager
    async def opened(url: str, key: str) -> AsyncIterator[Page]:
        async with opened_page(debian_command("chromium"), tmp_path, url) as page:
            await page.sign_in(key)
            await page.go("#/operations")
            yield page

    return opened


def test_a_dead_letter_survives_a_refused_replay_and_is_discarded_with_a_reason(
    database: Database, operations_opened: Opened
) -> None:
    async def scenario(url: str, key: str) -> None:
        async with operations_opened(url, key) as page:
            await page.shows("HTTP 500 <b>from</b> the utility", "main")
            await page.click("main button", "Replay…")
            await page.type("dialog[open] textarea", "the utility answers again")
            await page.click("dialog button", "Replay it")
            await page.shows("gridproof dead-letters replay", "dialog .problem")
            await page.press("Escape")
            await page.until("!document.querySelector('dialog')")
            await page.click("main button", "Show")
            await page.shows('"kind": "started"', "dialog pre")
            await page.press("Escape")
            await page.until("!document.querySelector('dialog')")
            await page.click("main button", "Discard…")
            await page.shows("This cannot be taken back", "dialog")
            assert await page.value("document.querySelector('dialog button[type=submit]').disabled")
            await page.type("dialog[open] textarea", "told by telephone")
            await page.click("dialog button", "Discard it")
            await page.until("!document.querySelector('dialog')")
            await page.shows("No dead letter is open.", "main")
            await page.click("main .segments button", "Discarded")
            await page.shows("told by telephone", "main table")

    with running_door(database) as door:
        park(door)
        asyncio.run(scenario(door.url, door.key("operator")))
        decided = door.get(f"/api/dead-letters/{LETTER}", "operator").json()
        assert (decided["status"], decided["decision_reason"]) == ("discarded", "told by telephone")


def test_an_alert_is_acknowledged_and_ended_by_hand_with_a_reason(
    database: Database, operations_opened: Opened
) -> None:
    async def scenario(url: str, key: str) -> None:
        async with operations_opened(url, key) as page:
            await decide(page, "Acknowledge…", "I am calling the building", "Acknowledge it")
            await page.shows("I am calling the building", "main table")
            await decide(page, "End…", "the sensor was taken away", "End it")
            await page.shows("No alert is open.", "main")

    with running_door(database) as door:
        begin_alert(PostgresAlerts(door.pool), "bms_drift", "fac-001", "not as commanded", at=CLOCK.now())
        asyncio.run(scenario(door.url, door.key("operator")))
        [alert] = door.get("/api/alerts?include_cleared=true", "operator").json()["items"]
        assert (alert["acknowledgement"], alert["clear_reason"]) == (
            "I am calling the building",
            "the sensor was taken away",
        )


def test_a_view_without_permission_names_the_roles_that_have_it(
    database: Database, operations_opened: Opened
) -> None:
    async def scenario(url: str, key: str) -> None:
        async with operations_opened(url, key) as page:
            await page.shows("Your role does not read operations", "main")
            await page.go("#/audit")
            await page.shows("Your role does not read the audit trail", "main")
            await page.shows("auditor or admin", "main")
            assert await page.value("document.querySelectorAll('main .problem').length") == 0

    with running_door(database) as door:
        asyncio.run(scenario(door.url, door.key("dashboard")))
