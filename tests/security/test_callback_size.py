"""What a utility can make a callback grow by fits into one message of the work queue, or is not recorded (C1)."""

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from application.commands.dr_event import RequestCallback
from application.handlers.callback import body as callback_body
from application.handlers.callback import callback as callback_handlers
from application.ports.dispatch.work_queue import (
    MAX_WORK_BYTES,
    BmsWork,
    CallbackWork,
    WorkTooLarge,
    encode_work,
)
from application.ports.event_store.event_store import ONE_DECISION
from domain.dr_event import DREvent
from interfaces.web.api.webhook.body import MOST_FACILITIES, MOST_ID_CHARACTERS
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, judge

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
    assert len(encode_work(work)) < MAX_WORK_BYTES / 4
    assert 0 < len(body["reasons"]) <= 100
    assert body["reasons_complete"] is False
    assert body["reasons_count"] >= len(body["reasons"])
    assert body["details_url"] == f"/api/dr-events/{DR_EVENT_ID}"


@pytest.mark.parametrize("character", [ESCAPED_SIX_FOLD, '"', "\\", "\N{GRINNING FACE}"])
def test_the_worst_ids_and_address_that_the_webhook_takes_fit_into_one_message(character: str) -> None:
    ids = tuple(f"{number}{character * MOST_ID_CHARACTERS}"[:MOST_ID_CHARACTERS] for number in range(500))
    [work] = callbacks(refused(ids))
    longest = msgspec.structs.replace(work, url="http://utility.example/" + character * 2_000)
    assert len(encode_work(longest)) < MAX_WORK_BYTES / 4


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


def test_a_callback_that_the_queue_cannot_carry_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body is built so that it cannot happen; a mistake there must not reach the log."""
    monkeypatch.setattr(callback_handlers, "callback_body", lambda *_: "\\" * (MAX_WORK_BYTES // 2))
    world = InProcessSystem.accepted("fac-001")
    head = world.scenario.store.head()
    with pytest.raises(WorkTooLarge, match=f"at most {MAX_WORK_BYTES} fit"):
        world.scenario.after(RequestCallback(dr_event_id=DR_EVENT_ID, kind="accepted"))
    assert world.scenario.store.head() == head


def test_the_largest_bms_work_that_one_save_can_request_fits_into_one_message() -> None:
    work = BmsWork(
        task="command",
        dr_event_id=DR_EVENT_ID,
        facility_id="f" * 63,
        command_id=UUID(int=1),
        more=tuple(map(UUID, (f"{number:032}" for number in range(ONE_DECISION.domain_events)))),
        correlation_id=UUID(int=3),
        causation_id=UUID(int=4),
        tenant="u" * 63,
        trace_id="0" * 32,
    )
    assert len(encode_work(work)) < MAX_WORK_BYTES / 8
