"""Signatures of webhook calls: required if the utility has a secret, checked against the raw body, and recent."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.unit.interfaces.web.edge import (
    NOW,
    WEBHOOK,
    Edge,
    RecordedCommands,
    accepting,
    notification,
    problem_of,
)
from tests.webhook_signature import sign, sign_v1

SECRET = b"a secret of the utility"


def signed(edge: Edge, headers: dict[str, str], signature: str | None, body: bytes) -> Any:
    headers = {**headers, "Content-Type": "application/json"}
    if signature is not None:
        headers["X-Signature"] = signature
    with edge.client() as client:
        return client.post(WEBHOOK, content=body, headers=headers)


BODY = msgspec.json.encode(notification())


@pytest.mark.parametrize(
    ("signature", "status", "problem"),
    [
        (sign(SECRET, BODY, at=NOW), 202, None),
        (sign(SECRET, BODY, at=NOW - timedelta(seconds=299)), 202, None),
        (sign(b"old", BODY, at=NOW) + "," + sign(SECRET, BODY, at=NOW).partition(",")[2], 202, None),
        (None, 401, "bad-signature"),
        ("", 401, "bad-signature"),
        ("t=1,v2=", 401, "bad-signature"),
        ("t=x,v2=00", 401, "bad-signature"),
        ("v2=00", 401, "bad-signature"),
        (sign_v1(SECRET, BODY, at=NOW), 401, "bad-signature"),
        (sign_v1(SECRET, BODY, at=NOW) + ",v2=00", 401, "bad-signature"),
        (sign(b"another", BODY, at=NOW), 401, "bad-signature"),
        (sign(SECRET, BODY + b" ", at=NOW), 401, "bad-signature"),
        (sign(b"another", BODY, at=NOW - timedelta(hours=1)), 401, "bad-signature"),
        (sign(SECRET, BODY, at=NOW - timedelta(seconds=301)), 401, "stale-signature"),
        (sign(SECRET, BODY, at=NOW + timedelta(seconds=301)), 401, "stale-signature"),
    ],
)
def test_a_utility_with_a_secret_must_send_a_valid_signature(
    signature: str | None, status: int, problem: str | None
) -> None:
    edge = Edge(commands=RecordedCommands(accepting), secrets={"util-1": SECRET})
    response = signed(edge, edge.key("utility", utility="util-1"), signature, BODY)
    assert response.status_code == status
    if problem:
        assert problem_of(response)["type"] == f"/problems/{problem}"
        assert edge.commands.given == []


def test_a_utility_without_a_secret_needs_no_signature() -> None:
    edge = Edge(commands=RecordedCommands(accepting), secrets={"util-1": SECRET})
    assert signed(edge, edge.key("utility", utility="util-2"), None, BODY).status_code == 202


def test_the_age_limit_of_a_signature_scales_with_the_clock_speed() -> None:
    edge = Edge(commands=RecordedCommands(accepting), secrets={"util-1": SECRET})
    edge.clock.speed = 3_600.0
    signature = sign(SECRET, BODY, at=NOW - timedelta(hours=2))
    assert signed(edge, edge.key("utility", utility="util-1"), signature, BODY).status_code == 202


def test_a_secret_that_cannot_be_resolved_gives_503() -> None:
    edge = Edge(commands=RecordedCommands(accepting))

    def missing(utility_id: str) -> bytes | None:
        raise ValueError("the secret env:NAME is not in the environment")

    edge.webhook_secret = missing
    with capture_logs() as logs:
        response = signed(edge, edge.key("utility", utility="util-1"), None, BODY)
    document = problem_of(response)
    assert (document["status"], document["type"]) == (503, "/problems/secret-unavailable")
    assert document["title"] == "Signatures cannot be checked: the operator has to set the secret"
    assert "NAME" not in response.text
    [line] = [one for one in logs if one["event"] == "a signature cannot be checked"]
    assert (line["utility_id"], line["log_level"]) == ("util-1", "warning")
    assert "env:NAME" in line["why"]


def test_a_cancellation_also_requires_a_signature() -> None:
    edge = Edge(commands=RecordedCommands(accepting), secrets={"util-1": SECRET})
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        assert client.delete(f"{WEBHOOK}/UTIL-1", headers=key).status_code == 401
        target = f"{WEBHOOK}/UTIL-1"
        headers = {**key, "X-Signature": sign(SECRET, b"", at=NOW, method="DELETE", target=target)}
        assert client.delete(f"{WEBHOOK}/UTIL-1", headers=headers).status_code == 200
