"""M3: a signature serves the one request that it was made for, and its repeats get the first answer."""

from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from msgspec.structs import replace

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import NO_DATE_YET, ProgramEntry, UtilityEntry
from application.facility.portfolio_validation import (
    STRICTEST_RULES,
    PortfolioInvalid,
    check_references,
    read_portfolio,
)
from application.handlers import HANDLERS
from domain.dr_event import DREvent
from domain.identifiers import dr_event_id
from interfaces.bootstrap.doctor.signatures import check_signatures
from interfaces.web.api.webhook.secrets import CACHED_S, WebhookSecrets
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.facility import FakeUtilities
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.sample_values import portfolio_act
from tests.unit.interfaces.web.edge import NOW, WEBHOOK, Edge, RecordedCommands, accepting, notification
from tests.webhook_signature import sign, sign_v1

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


def test_a_v1_signature_serves_one_request_and_its_repeats() -> None:
    edge = signing_edge(accepts_v1=True)
    headers = edge.key("utility", utility="util-1") | {"X-Signature": sign_v1(SECRET, b"", at=NOW)}
    with edge.client() as client:
        assert client.delete(DELETE, headers=headers).status_code == 200
        assert client.delete(DELETE, headers=headers).status_code == 200
        replays = [
            client.delete(f"{WEBHOOK}/UTIL-2", headers=headers),
            client.delete(f"{DELETE}?modification_number=99", headers=headers),
            client.delete(DELETE, headers=headers | {"Idempotency-Key": "another"}),
        ]
    assert [problem_or_status(response) for response in replays] == ["used-signature"] * 3
    assert len(edge.commands.given) == 2


def test_a_v1_signature_of_a_body_serves_one_idempotency_key() -> None:
    edge = signing_edge(accepts_v1=True)
    headers = edge.key("utility", utility="util-1") | {
        "X-Signature": sign_v1(SECRET, BODY, at=NOW),
        "Content-Type": "application/json",
    }
    with edge.client() as client:
        assert client.post(WEBHOOK, content=BODY, headers=headers).status_code == 202
        replayed = client.post(WEBHOOK, content=BODY, headers=headers | {"Idempotency-Key": "another"})
        patched = client.patch(f"{WEBHOOK}/UTIL-9", content=BODY, headers=headers)
    assert [problem_or_status(one) for one in (replayed, patched)] == ["used-signature"] * 2


def test_v1_is_accepted_from_utilities_of_before_until_their_date() -> None:
    utilities, now = FakeUtilities(), [0.0]
    secrets = WebhookSecrets(utilities, str.encode, monotonic=lambda: now[0])
    utilities.keep([UtilityEntry(utility_id="new")], at=NOW, act=portfolio_act())
    utilities.keep(
        [UtilityEntry(utility_id="old", webhook_v1_until=NO_DATE_YET)], at=NOW, act=portfolio_act()
    )
    assert not secrets.accepts_v1("new", NOW)
    assert not secrets.accepts_v1("unknown", NOW)
    assert secrets.accepts_v1("old", NOW)
    utilities.keep(
        [UtilityEntry(utility_id="old")], at=NOW, act=portfolio_act()
    )  # an import that says nothing of it
    now[0] += CACHED_S
    assert secrets.accepts_v1("old", NOW)
    utilities.keep([UtilityEntry(utility_id="old", webhook_v1_until=NOW)], at=NOW, act=portfolio_act())
    now[0] += CACHED_S
    assert not secrets.accepts_v1("old", NOW)


def test_doctor_names_who_does_not_sign_and_who_may_sign_with_v1() -> None:
    signing = UtilityEntry(utility_id="new", webhook_secret_ref="env:S")
    entries = [
        UtilityEntry(utility_id="silent"),
        signing,
        replace(signing, utility_id="old", webhook_v1_until=NO_DATE_YET),
        replace(signing, utility_id="leaving", webhook_v1_until=NOW + timedelta(days=30)),
        replace(signing, utility_id="changed", webhook_v1_until=NOW),
    ]
    found = check_signatures(entries, NOW)
    assert found.state == "warning"
    assert found.facts == {
        "without a signature": ["silent"],
        "v1 without a date": ["old"],
        "v1 until their date": ["leaving"],
    }
    assert check_signatures([entries[1], *entries[3:]], NOW).state == "ok"


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


@pytest.mark.parametrize(
    ("until", "is_taken"),
    [
        ("2027-03-31T00:00:00Z", True),
        ("9999-12-31T00:00:00Z", True),
        ("9999-12-31T23:00:00-05:00", False),
        ("0001-01-01T00:00:00+05:00", False),
    ],
)
def test_a_date_for_v1_that_could_not_be_read_again_is_refused(until: str, is_taken: bool) -> None:
    utility = {"utility_id": "city-power", "webhook_v1_until": until}
    portfolio = read_portfolio(msgspec.json.encode({"utilities": [utility]}))
    refusal = pytest.raises(PortfolioInvalid, match=r"utilities\[0\]\.webhook_v1_until")
    with nullcontext() if is_taken else refusal:
        check_references(portfolio, known_utilities=(), known_programs={}, rules=STRICTEST_RULES)
