"""The audit view in a real browser: addresses with a time, links to causes, and exported files.

The slider is in test_running_demo.py.
"""

import asyncio
import csv
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from application.command_bus.decision_context import CommandContext
from application.commands.dr_event import PlanDREvent
from tests.acceptance.api.running_api import Door, notification, running_door
from tests.chromium import Page, opened_page
from tests.patience import ANSWER_S
from tests.servers import Database

HOSTILE = '=HYPERLINK("x"), <b>"calm"</b>'


def steps_of(door: Door, dr_event: str) -> list[dict[str, Any]]:
    return list(door.get(f"/api/audit/dr-events/{dr_event}", "auditor").json()["steps"])


def cancelled_dr_event(door: Door) -> str:
    """Accept a DR event, plan it as a consequence, and cancel it with a reason that looks like a formula."""
    dr_event = str(door.post(notification(event_id="UTIL-1")).json()["dr_event_id"])
    accepted = next(step for step in steps_of(door, dr_event) if step["topic"] == "dr-event.accepted.v1")
    context = CommandContext(
        correlation_id=UUID(accepted["correlation_id"]),
        causation_id=UUID(accepted["domain_event_id"]),
        actor="saga:dispatch",
        tenant=None,
        trace_id=uuid4().hex,
    )
    door.bus.handle(PlanDREvent(dr_event_id=UUID(dr_event)), context)
    answer = door.order(f"/api/dr-events/{dr_event}/cancellation", {"reason": HOSTILE})
    assert answer.status_code == 200, answer.text
    door.project()
    return dr_event


async def saved_file(page: Page, folder: Path, button: str, ending: str) -> Path:
    """The file that the browser saves after a click on that button, once it is complete."""
    await page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    await page.click("main button", button)
    async with asyncio.timeout(ANSWER_S):
        while not (found := await asyncio.to_thread(complete_files, folder, ending)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found[0]


def complete_files(folder: Path, ending: str) -> list[Path]:
    """The saved files of that ending. Chromium reserves the name by an empty file, writes beside it, and renames."""
    return [path for path in folder.glob(f"*{ending}") if path.stat().st_size > 0]


def test_an_address_opens_a_point_in_time_and_a_cause_links_to_its_step(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    async def scenario(url: str, key: str, dr_event: str, effect: dict[str, int], moment: str) -> None:
        async with opened_page(debian_command("chromium"), tmp_path, url) as page:
            await page.sign_in(key)
            await page.go(f"#/audit/{dr_event}")
            await page.click(f"#step-{effect['position']} p a")
            await page.until(f"document.activeElement?.id === 'step-{effect['cause']}'")
            await page.go(
                f"#/audit/{dr_event}?as_of={moment}"
            )  # the time of the acceptance, and of everything recorded with it
            await page.shows("accepted", "#state-then")
            await page.go(f"#/audit/{dr_event}?as_of={effect['position']}")
            await page.shows(f"position {effect['position']}", ".slider")
            await page.go("#/constructor")
            await page.shows("No such view", "main h1")
            await page.go(f"#/audit/{dr_event}?as_of=99999")
            await page.shows("Position 99999 is beyond the last step", "main .wrong")

    with running_door(database) as door:
        dr_event = cancelled_dr_event(door)
        steps = steps_of(door, dr_event)
        found = next(step for step in steps if step["caused_by"]["position"])
        effect = {"position": found["position"], "cause": found["caused_by"]["position"]}
        asyncio.run(scenario(door.url, door.key("auditor"), dr_event, effect, steps[0]["recorded_at"]))


def test_the_audit_trail_is_saved_as_json_and_as_csv_without_formulas(
    database: Database, tmp_path: Path, debian_command: Callable[[str], Path]
) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()

    async def scenario(url: str, key: str, dr_event: str, second: int) -> None:
        async with opened_page(debian_command("chromium"), tmp_path / "browser", url) as page:
            await page.sign_in(key)
            await page.go(f"#/audit/{dr_event}")
            await page.shows("cancelled", "#state-then")
            assert await page.value("document.querySelectorAll('main b b').length") == 0
            rows = list(csv.DictReader(StringIO((await saved_file(page, folder, "CSV", ".csv")).read_text())))
            assert [row["position"] for row in rows] == sorted((row["position"] for row in rows), key=int)
            assert f"'{HOSTILE}" in {row["why"] for row in rows}
            await page.go(f"#/audit/{dr_event}?as_of={second}")
            await page.shows("accepted", "#state-then")
            trail = json.loads((await saved_file(page, folder, "JSON", f"-{second}.json")).read_text())
            assert trail["dr_event"]["status"] == "accepted"
            assert [step["position"] for step in trail["steps"]][-1] == second
            await page.click("main button", "Proof")
            await page.shows("nothing is sealed yet", "main .problem")

    (tmp_path / "browser").mkdir()
    with running_door(database) as door:
        dr_event = cancelled_dr_event(door)
        steps = steps_of(door, dr_event)
        asyncio.run(scenario(door.url, door.key("auditor"), dr_event, steps[1]["position"]))
