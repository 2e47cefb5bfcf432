"""What a utility can make a callback grow by is bounded (C1)."""

import json
from typing import Any

import pytest

from application.handlers.callback import body as callback_body
from application.ports.dispatch.requested_work import CallbackWork
from domain.dr_event import DREvent
from interfaces.web.api.webhook.body import MOST_FACILITIES, MOST_ID_CHARACTERS
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, judge

MOST_BYTES = 128 * 1024
ESCAPED_SIX_FOLD = "\N{LATIN SMALL LETTER E WITH ACUTE}"


def refused(facility_ids: tuple[str, ...]) -> InProcessSystem:
    """A notification over facilities that nobody knows was refused, and the refusal is relayed."""
    world = InProcessSystem.registered("fac-001")
    world.scenario.after(judge(facility_ids=facility_ids))
    return world.relay_all()


def callbacks(world: InProcessSystem) -> list[CallbackWork]:
    return [
        CallbackWork.of(intent)
        for intent in world.recorded(DREvent.CallbackRequested)
        if isinstance(intent, DREvent.CallbackRequested)
    ]


def test_the_refusal_of_2000_facilities_is_cut_and_says_so() -> None:
    ids = tuple(f"{number}-{ESCAPED_SIX_FOLD * 60}" for number in range(MOST_FACILITIES))
    [work] = callbacks(refused(ids))
    body: dict[str, Any] = json.loads(work.body)
    assert len(work.body.encode()) < MOST_BYTES
    assert 0 < len(body["reasons"]) <= 100
    assert body["reasons_complete"] is False
    assert body["reasons_count"] >= len(body["reasons"])
    assert body["details_url"] == f"/api/dr-events/{DR_EVENT_ID}"


@pytest.mark.parametrize("character", [ESCAPED_SIX_FOLD, '"', "\\", "\N{GRINNING FACE}"])
def test_the_worst_ids_that_the_webhook_takes_make_a_small_body(character: str) -> None:
    ids = tuple(f"{number}{character * MOST_ID_CHARACTERS}"[:MOST_ID_CHARACTERS] for number in range(500))
    [work] = callbacks(refused(ids))
    assert len(work.body.encode()) < MOST_BYTES


def test_the_results_of_all_facilities_are_cut_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_body, "MAX_RESULT_BYTES", 300)
    ids = tuple(f"fac-{number:03}" for number in range(1, 9))
    world = InProcessSystem.accepted(*ids).until("completed")
    body = json.loads(callbacks(world)[-1].body)
    assert 0 < len(body["facility_results"]) < len(ids)
    assert body["results_complete"] is False
    assert len(json.dumps(body["facility_results"], separators=(",", ":"))) <= 301


def test_few_reasons_are_complete() -> None:
    [work] = callbacks(refused(("fac-404",)))
    body = json.loads(work.body)
    assert (len(body["reasons"]), body["reasons_count"], body["reasons_complete"]) == (1, 1, True)
