"""What the page asks of `gridproof up`: a meter's login, shown once, and past readings, with their progress."""

import json
from typing import Any

import pytest

from tests.browser.conftest import RunInPage
from tests.browser.test_setup import CHECKED, IMPORT, LOGINS, page_of, set_field
from tests.chromium import Page

TASK = {"task_id": "t-1", "facility_id": "fac-001", "is_new": True, "state": "waiting", "problem": None}
MADE = {"task": TASK, "user": "fac-001", "password": "shown-once-0123", "mqtt_port": 1883}
STORING = CHECKED | {
    "task_id": "t-2",
    "kind": "import_history",
    "state": "running",
    "phase": "storing",
    "result": None,
}
IMPORTED = STORING | {
    "state": "done",
    "result": {"imported": {"rows": 35040, "added": 35000, "changed": 40, "unchanged": 0}},
}
VALUES = "[...document.querySelectorAll('dialog input')].map((one) => one.value)"
UPLOADS = """
window.XMLHttpRequest = class {
  upload = {};
  status = 202;
  open(method, path) { window.uploadedTo = path; }
  setRequestHeader() {}
  getResponseHeader() { return "application/json"; }
  async send(file) {
    window.uploaded = await file.text();
    this.upload.onprogress({ loaded: 1, total: 4 });
    await new Promise((goOn) => (window.arrived = goOn));
    this.responseText = JSON.stringify(window.accepted);
    this.onload();
  }
};
"""
"""An upload of which a quarter has left until `arrived()`; it is answered with `accepted`."""


async def answer(page: Page, path: str, document: Any, status: int = 200) -> None:
    await page.value(f"answers['{path}'] = [{status}, {json.dumps(document)}]; 0")


async def answer_to(page: Page, method: str, path: str, document: Any) -> None:
    """To that method alone; a read is answered as before."""
    await page.value(f"""(() => {{
      const before = answers['{path}'];
      answers['{path}'] = (asked, options) => {{
        if (options.method !== '{method}') return before ?? [404, {{}}];
        window.sent = JSON.parse(options.body ?? 'null');
        return [202, {json.dumps(document)}];
      }};
    }})()""")


def test_a_login_is_under_way_then_shown_once_and_nothing_of_it_stays(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("fac-002", "main")
        await answer_to(page, "POST", "/api/meter-logins", MADE)
        await answer(page, "/api/meter-logins/tasks/t-1", TASK)
        await page.click("button", "New meter login…")
        await set_field(page, "facility_id", "fac-001")
        await page.click("dialog button", "Make it")
        await page.shows("Under way", "dialog")
        assert await page.value("sent") == {"facility_id": "fac-001"}
        assert MADE["password"] not in await page.value("document.documentElement.outerHTML")
        assert not await page.value(
            "[...document.querySelectorAll('input')].some(one => one.value === 'shown-once-0123')"
        )
        await answer(page, "/api/meter-logins/tasks/t-1", TASK | {"state": "done"})
        await page.shows("cannot be shown again", "dialog")
        assert await page.value(VALUES) == ["fac-001", "shown-once-0123", "1883"]
        assert await page.axe_findings() == []
        await page.click("dialog button", "I have it")
        await page.until("!document.querySelector('dialog')")
        assert "shown-once-0123" not in await page.value("document.documentElement.outerHTML")

    run_in_page(page_of("keys", "admin"), scenario)


def test_a_login_that_the_broker_refuses_says_why_and_shows_no_password(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("fac-002", "main")
        await answer_to(page, "POST", "/api/meter-logins", MADE)
        refused = TASK | {"state": "refused", "problem": "fac-001 has a login already"}
        await answer(page, "/api/meter-logins/tasks/t-1", refused)
        await page.click("button", "New meter login…")
        await set_field(page, "facility_id", "fac-001")
        await page.click("dialog button", "Make it")
        await page.shows("fac-001 has a login already", "dialog .problem")
        assert await page.value("document.querySelectorAll('dialog input').length") == 0

    run_in_page(page_of("keys", "admin"), scenario)


def test_a_login_is_revoked_after_a_question(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await page.shows("fac-002", "main")
        await answer_to(page, "DELETE", "/api/meter-logins/fac-002", TASK | {"is_new": False})
        await answer(page, "/api/meter-logins/tasks/t-1", TASK | {"state": "done"})
        await page.value("document.querySelector('[aria-label=\"Revoke the login of fac-002\"]').click()")
        await page.shows("disconnected", "dialog")
        await page.click("dialog button", "Revoke it")
        await page.until("!document.querySelector('dialog')")

    run_in_page(page_of("keys", "admin"), scenario)


def test_where_the_servers_are_ones_own_the_commands_are_shown(run_in_page: RunInPage) -> None:
    async def scenario(page: Page) -> None:
        await answer(page, "/api/meter-logins", LOGINS | {"is_managed": False, "items": []})
        await page.value(
            "import('/static/query.js').then(({ refetch }) => (refetch('/api/meter-logins'), 0))"
        )
        await page.shows("gridproof keys meters create FACILITY", "main")

    run_in_page(page_of("keys", "admin"), scenario)


async def choose(page: Page) -> None:
    await page.until("Boolean(document.getElementById('history-file'))")
    await page.value(
        "(() => { const input = document.getElementById('history-file'), files = new DataTransfer();"
        "files.items.add(new File(['facility,timestamp'], 'load.csv')); input.files = files.files;"
        "input.dispatchEvent(new Event('change', { bubbles: true })); })()"
    )


async def bar(page: Page) -> list[Any]:
    found: list[Any] = await page.value(
        "(() => { const bar = document.querySelector('main progress');"
        "return [bar.hasAttribute('value') ? bar.value / bar.max : null, bar.nextSibling.textContent]; })()"
    )
    return found


def test_a_file_is_sent_checked_and_imported_with_its_progress(run_in_page: RunInPage) -> None:
    at = "/api/history/tasks"

    async def scenario(page: Page) -> None:
        await answer(page, "/api/history/imports", {"is_served": True, "task": None, "items": []})
        await page.value("import('/static/query.js').then(({ refetch }) => (refetch('/api/history'), 0))")
        await page.shows("Nothing was imported yet", "main")
        waiting = CHECKED | {"state": "waiting", "phase": None, "result": None}
        await page.value(f"{UPLOADS}; window.accepted = {json.dumps(waiting)}; 0")
        await answer(
            page,
            f"{at}/{CHECKED['task_id']}",
            waiting | {"state": "running", "phase": "reading", "done": 50000},
        )
        await choose(page)
        await page.shows("Sending load.csv: 25 %", "main")
        assert await bar(page) == [0.25, "Sending load.csv: 25 %"]
        await page.value("arrived()")
        await page.shows("Reading the file: 50,000 rows", "main")
        assert (await bar(page))[0] is None
        assert await page.value("[uploaded, uploadedTo]") == [
            "facility,timestamp",
            "/api/history/uploads?name=load.csv",
        ]
        await answer(page, f"{at}/{CHECKED['task_id']}", CHECKED)
        await page.shows("35,040 rows of 1 facility", "main")
        await page.shows("Nothing is stored yet", "main")
        await page.shows("Odd, and not refused: 1 gap", "main")

        await answer_to(page, "POST", "/api/history/imports", STORING | {"state": "waiting", "phase": None})
        await answer(page, f"{at}/t-2", STORING | {"done": 26280, "total": 35040})
        await page.click("button", "Import them")
        await page.shows("Storing: 26,280 of 35,040 rows", "main")
        assert await bar(page) == [0.75, "Storing: 26,280 of 35,040 rows"]
        assert await page.value("sent") == {"task_id": CHECKED["task_id"]}
        await answer(page, f"{at}/t-2", IMPORTED)
        await page.shows("35,000 new, 40 corrected", "main")

    run_in_page(page_of("import", "admin"), scenario)


@pytest.mark.parametrize(("kind", "offers_again"), [("check_history", False), ("import_history", True)])
def test_what_is_refused_says_why_and_an_import_can_be_repeated(
    run_in_page: RunInPage, kind: str, offers_again: bool
) -> None:
    task = CHECKED | {
        "kind": kind,
        "state": "refused",
        "result": None,
        "problem": "load.csv, line 2: no number",
    }

    async def scenario(page: Page) -> None:
        await answer(page, "/api/history/imports", {"is_served": True, "task": task, "items": []})
        await page.value("import('/static/query.js').then(({ refetch }) => (refetch('/api/history'), 0))")
        await page.shows("load.csv, line 2: no number", "main .problem")
        words = "[...document.querySelectorAll('main button')].map(one => one.textContent)"
        assert ("Import it again" in await page.value(words)) is offers_again

    run_in_page(page_of("import", "admin"), scenario)


def test_an_import_is_taken_back_with_a_reason(run_in_page: RunInPage) -> None:
    at = f"/api/history/imports/{IMPORT['import_id']}/take-back"
    removing = CHECKED | {"task_id": "t-3", "kind": "take_back_history", "file_name": None, "result": None}
    done = removing | {
        "result": {
            "taken_back": {
                "rows": 35040,
                "removed": 35000,
                "restored": 0,
                "kept": 40,
                "corrected": 9,
                "failed": [],
            }
        }
    }

    async def scenario(page: Page) -> None:
        await answer_to(page, "POST", at, removing | {"state": "running", "phase": "removing"})
        await answer(page, "/api/history/tasks/t-3", done)
        await page.click("button", "Take back…")
        await page.type("dialog[open] textarea", "of another year")
        await page.click("dialog button", "Take it back")
        await page.shows("35,000 rows removed", "main")
        assert await page.value("sent") == {"reason": "of another year"}

    run_in_page(page_of("import", "admin"), scenario)
