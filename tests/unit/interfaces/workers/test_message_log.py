"""Log lines about a message of the work queue name what it is about."""

from uuid import UUID

import msgspec
import pytest
from structlog.contextvars import get_contextvars

from application.ports.dispatch.work_queue import BmsWork, CallbackWork
from interfaces.workers.loops.message_log import logged_message

DR_EVENT, OTHER = UUID(int=7), UUID(int=8)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BMS = BmsWork(
    task="command",
    dr_event_id=DR_EVENT,
    facility_id="fac-001",
    command_id=OTHER,
    correlation_id=OTHER,
    causation_id=OTHER,
    tenant="util-1",
    trace_id=TRACE,
)
CALLBACK = CallbackWork(
    dr_event_id=DR_EVENT,
    callback_id=OTHER,
    kind="accepted",
    utility_id="util-1",
    url="https://utility.example/secret",
    body="{}",
    correlation_id=OTHER,
    causation_id=OTHER,
    trace_id=TRACE,
)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (msgspec.json.encode(BMS), {"trace_id": TRACE, "dr_event": str(DR_EVENT), "facility": "fac-001"}),
        (msgspec.json.encode(CALLBACK), {"trace_id": TRACE, "dr_event": str(DR_EVENT)}),
        (b"no message", {}),
        (b"[" * 100_000, {}),
    ],
    ids=["bms", "callback", "garbage", "brackets"],
)
def test_lines_in_the_block_name_trace_dr_event_and_facility(body: bytes, named: dict[str, str]) -> None:
    with logged_message(body):
        assert get_contextvars() == named
    assert get_contextvars() == {}
