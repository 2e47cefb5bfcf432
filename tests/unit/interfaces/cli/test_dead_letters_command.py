"""How `gridproof dead-letters show` displays the body of a meter message."""

from base64 import b64decode
from datetime import UTC, datetime
from uuid import uuid4

from application.ports.operations.dead_letters import DeadLetter
from interfaces.cli.dead_letters import _document


def shown(body: bytes) -> dict[str, object]:
    letter = DeadLetter(
        dead_letter_id=uuid4(),
        queue="meter_message",
        subject="meters/fac-001/m1/readings",
        reason="not JSON",
        body=body,
        parked_at=datetime(2026, 7, 14, tzinfo=UTC),
    )
    return _document(letter, with_body=True)


def test_a_text_body_is_shown_as_text() -> None:
    assert shown("{°}".encode())["body"] == "{°}"
    assert "body_base64" not in shown(b"{}")


def test_a_binary_body_is_also_shown_in_base64() -> None:
    document = shown(b"\xff\xfe7")
    assert document["body"] == "\ufffd\ufffd7"
    assert b64decode(str(document["body_base64"])) == b"\xff\xfe7"
