"""M3: a signature serves the one request that it was made for, and its repeats get the first answer."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import ProgramEntry, UtilityEntry
from application.handlers import HANDLERS
from domain.dr_event import DREvent
from domain.identifiers import dr_event_id
from interfaces.bootstrap.doctor.signatures import check_signatures
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.unit.interfaces.web.edge import NOW, WEBHOOK, Edge, RecordedCommands, accepting, notification
from tests.webhook_signature import sign

SECRET = b"a secret of the utility"
BODY = msgspec.json.encode(notification())
DELETE = f"{WEBHOOK}/UTIL-1"


def signing_edge(**options: Any) -> Edge:
    return Edge(commands=RecordedCommands(accepting), secrets={"util-1": SECRET}, **options)


def problem_or_status(response: Any) -> Any:
    return response.json()["type"].rpartition("/")[2] if response.status_code >= 400 else response.status_code


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"target": DELETE + "?modification_number=99"},
        {"target": f"{WEBHOOK}/UTIL-2"},
        {"method": "PATCH", "content": BODY},
        {"key": "another"},
        {"content": b"x"},
    ],
    ids=["the same", "query", "path", "method", "key", "body"],
)
def test_a_signature_fits_one_method_address_key_and_body(changed: dict[str, Any]) -> None:
    edge = signing_edge()
    headers = edge.key("utility", utility="util-1") | {
        "X-Signature": sign(SECRET, b"", at=NOW, method="DELETE", target=DELETE),
        "Content-Type": "application/json",
    }
    if "key" in changed:
        headers["Idempotency-Key"] = changed["key"]
    with edge.client() as client:
        response = client.request(
            changed.get("method", "DELETE"),
            changed.get("target", DELETE),
            content=changed.get("content", b""),
            headers=headers,
        )
    assert problem_or_status(response) == ("bad-signature" if changed else 200)
    assert bool(edge.commands.given) is not bool(changed)


def test_no_other_split_of_address_and_key_has_the_same_signature() -> None:
    """Otherwise a cancellation of `UTIL-1.2` would serve for `UTIL-1` with the key `2.`."""
    edge = signing_edge()
    captured = sign(SECRET, b"", at=NOW, method="DELETE", target=f"{DELETE}.2")
    headers = edge.key("utility", utility="util-1") | {"X-Signature": captured, "Idempotency-Key": "2."}
    with edge.client() as client:
        assert problem_or_status(client.delete(DELETE, headers=headers)) == "invalid-request"
    assert edge.commands.given == []


def test_doctor_names_who_does_not_sign() -> None:
    signing = UtilityEntry(utility_id="new", webhook_secret_ref="env:S")
    found = check_signatures([UtilityEntry(utility_id="silent"), signing])
    assert (found.state, found.facts) == ("warning", {"without a signature": ["silent"]})
    assert check_signatures([signing]).state == "ok"


class Recording(FakeEventStore):
    """Counts the saves."""

    saves = 0

    def save(self, *args: Any, **options: Any) -> None:
        self.saves += 1
        super().save(*args, **options)


def test_a_signed_cancellation_sent_again_gets_the_first_answer_and_is_not_carried_out_again() -> None:
    store = Recording()
    edge = signing_edge()
    bus = CommandBus(store, edge.clock, HANDLERS, forecasts=FakeForecastBook())
    context = CommandContext(
        correlation_id=uuid4(), causation_id=uuid4(), actor="operator:test", tenant=None, trace_id="0" * 32
    )
    bus.handle(AgreeProgram(entry=ProgramEntry(program_id="summer-peak", utility_id="util-1")), context)
    edge.others["bus"] = bus
    signature = sign(SECRET, b"", at=NOW, method="DELETE", target=DELETE)
    headers = edge.key("utility", utility="util-1") | {"X-Signature": signature}
    before = store.saves
    with edge.client() as client:
        first, again = (client.delete(DELETE, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()["outcome"]) == (200, "cancelled")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert store.saves == before + 1
    assert store.load(DREvent, dr_event_id("util-1", "UTIL-1")).state.status == "cancelled"
