"""Signing in and out, the rights of the session cookie, and the protection against other origins."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any
from uuid import UUID

import pytest
from litestar.testing import TestClient

from application.access.api_keys import revoke
from application.access.sessions import new_token, token_hash
from interfaces.web.authentication.api_key import Authenticator
from interfaces.web.authentication.session_cookie import COOKIE, SessionAuthenticator
from interfaces.web.caching.lookup_cache import LOOKUP_FRESH_S, USABLE_IN_OUTAGE_S
from interfaces.web.problems import Problem
from tests.unit.interfaces.web.edge import NOW, Edge, accepting, problem_of

ID = UUID("00000000-0000-0000-0000-000000000001")
CANCELLATION = f"/api/dr-events/{ID}/cancellation"
OWN = {"Origin": "http://testserver.local"}


def signed_in(edge: Edge, client: TestClient[Any], key: dict[str, str] | None = None) -> dict[str, Any]:
    """The response to signing in. The client stores the cookie."""
    response = client.post("/api/session", headers=key or edge.key("operator"))
    assert response.status_code == 201, response.text
    document: dict[str, Any] = response.json()
    return document


def test_a_session_has_the_rights_of_its_key_and_states_its_expiry() -> None:
    edge = Edge()
    with edge.client() as client:
        told = signed_in(edge, client, edge.key("dashboard", facility="fac-001"))
        assert told == {
            "role": "dashboard",
            "utility_id": None,
            "facility_id": "fac-001",
            "expires_at": (edge.sessions.now + timedelta(hours=8)).isoformat().replace("+00:00", "Z"),
        }
        assert client.get("/api/session").json() == told
        assert client.get("/api/facilities/fac-001").status_code == 404
        assert client.get("/api/dr-events").status_code == 403


def test_a_bearer_key_is_answered_with_its_role_and_takes_precedence_over_the_cookie() -> None:
    edge = Edge()
    with edge.client() as client:
        signed_in(edge, client)
        said = client.get("/api/session", headers=edge.key("utility", utility="util-1")).json()
        assert said == {"role": "utility", "utility_id": "util-1", "facility_id": None, "expires_at": None}
        wrong = {"Authorization": "Bearer gpk_000000000000_wrong"}
        assert client.get("/api/dr-events", headers=wrong).status_code == 401


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
def test_the_cookie_is_only_for_this_origin_and_inaccessible_to_scripts(scheme: str, secure: bool) -> None:
    edge = Edge()
    with TestClient(edge.app(), base_url=f"{scheme}://testserver.local") as client:
        response = client.post("/api/session", headers=edge.key("auditor"))
    cookie = SimpleCookie(response.headers["set-cookie"])[COOKIE]
    assert (cookie["httponly"], cookie["samesite"].lower(), cookie["path"]) == (True, "strict", "/")
    assert bool(cookie["secure"]) is secure
    assert cookie["domain"] == ""
    assert 0 < int(cookie["max-age"]) <= 8 * 3_600
    assert cookie.value not in response.text


def test_signing_out_ends_the_session_on_the_server() -> None:
    edge = Edge()
    with edge.client() as client:
        signed_in(edge, client)
        token = client.cookies[COOKIE]
        out = client.delete("/api/session", headers=OWN)
        assert out.status_code == 204
        assert SimpleCookie(out.headers["set-cookie"])[COOKIE]["max-age"] == "0"
        again = client.get("/api/session", headers={"Cookie": f"{COOKIE}={token}"})
    assert problem_of(again)["status"] == 401


@pytest.mark.parametrize("ending", ["its time", "its key"])
def test_a_session_ends_at_its_expiry_or_when_its_key_is_revoked(ending: str) -> None:
    edge = Edge()
    with edge.client() as client:
        signed_in(edge, client)
        cookie = {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
    with edge.client() as client:  # another process
        assert client.get("/api/dr-events", headers=cookie).status_code == 200
    if ending == "its time":
        edge.sessions.now += timedelta(hours=8)
    else:
        revoke(edge.api_keys, edge.api_keys.listed()[0].key_id, at=NOW)
    with edge.client() as client:
        assert problem_of(client.get("/api/dr-events", headers=cookie))["status"] == 401


def test_a_cookie_without_a_key_does_not_sign_in_again() -> None:
    edge = Edge()
    with edge.client() as client:
        signed_in(edge, client)
        assert problem_of(client.post("/api/session", headers=OWN))["status"] == 401


def test_sign_in_attempts_are_rate_limited_by_address() -> None:
    edge = Edge(rate_per_s=2)
    wrong = {"Authorization": "Bearer gpk_000000000000_wrong"}
    with edge.client() as client:
        found = [client.post("/api/session", headers=wrong) for _ in range(3)]
    assert [response.status_code for response in found] == [401, 401, 429]
    assert int(found[-1].headers["retry-after"]) >= 1


@dataclass(frozen=True)
class Sent:
    headers: dict[str, str]
    status: int


@pytest.mark.parametrize(
    "sent",
    [
        Sent({"Sec-Fetch-Site": "same-origin"}, 200),
        Sent({"Sec-Fetch-Site": "same-site"}, 403),
        Sent({"Sec-Fetch-Site": "cross-site"}, 403),
        Sent({"Sec-Fetch-Site": "none"}, 403),
        Sent({"Sec-Fetch-Site": "cross-site", **OWN}, 403),
        Sent(OWN, 200),
        Sent({"Origin": "http://elsewhere.local"}, 403),
        Sent({"Origin": "http://testserver.local.elsewhere"}, 403),
        Sent({"Origin": "http://testserver.local:8080"}, 403),
        Sent({"Origin": "null"}, 403),
        Sent({}, 403),
    ],
    ids=str,
)
def test_a_write_with_the_cookie_requires_the_same_origin(sent: Sent) -> None:
    edge = Edge()
    edge.commands.answer = accepting
    with edge.client() as client:
        signed_in(edge, client)
        done = client.post(CANCELLATION, json={"reason": "heat"}, headers=sent.headers)
    assert done.status_code == sent.status
    assert len(edge.commands.given) == (sent.status == 200)


def test_a_write_with_a_key_requires_no_origin() -> None:
    edge = Edge()
    edge.commands.answer = accepting
    with edge.client() as client:
        done = client.post(CANCELLATION, json={"reason": "heat"}, headers=edge.key("operator"))
    assert done.status_code == 200


@dataclass
class Seconds:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_recently_authenticated_caller_may_read_while_the_store_is_unreachable() -> None:
    asyncio.run(reading_on())


async def reading_on() -> None:
    edge, seconds = Edge(), Seconds()
    authenticator = Authenticator(edge.api_keys, now=edge.clock.now, monotonic=seconds)
    people = SessionAuthenticator(edge.sessions, authenticator, monotonic=seconds)
    header = edge.key("operator")["Authorization"]
    session, token = await people.begin(await authenticator.principal(header))
    assert (await people.principal(token)).key_id == session.key_id
    edge.api_keys.is_down = edge.sessions.is_down = True
    seconds.now = LOOKUP_FRESH_S + 1
    assert (await people.principal(token, only_reads=True)).key_id == session.key_id
    assert (await authenticator.principal(header, only_reads=True)).key_id == session.key_id
    for asking in (people.principal(token), authenticator.principal(header)):
        with pytest.raises(ConnectionError):
            await asking
    with pytest.raises(Problem):
        await authenticator.principal(header[:-1] + "?", only_reads=True)
    seconds.now = USABLE_IN_OUTAGE_S + 1
    with pytest.raises(ConnectionError):
        await authenticator.principal(header, only_reads=True)


def test_a_thousand_concurrent_sessions_are_looked_up_in_few_reads() -> None:
    async def scenario() -> int:
        edge = Edge()
        edge.key("operator")
        [key_id] = [key.key_id for key in edge.api_keys.listed()]
        signed_in = SessionAuthenticator(edge.sessions, Authenticator(edge.api_keys, now=edge.clock.now))
        tokens = [new_token(number.to_bytes(32, "big")) for number in range(1_000)]
        for token in tokens:
            edge.sessions.begin(token_hash(token) or b"", key_id, lasts_s=60)
        found = await asyncio.gather(*(signed_in.principal(token) for token in tokens))
        assert {api_key.key_id for api_key in found} == {key_id}
        return edge.sessions.looks

    assert asyncio.run(scenario()) <= 10


def test_a_revoked_key_may_not_read_while_the_store_is_unreachable() -> None:
    asyncio.run(reading_on_with_a_revoked_key())


async def reading_on_with_a_revoked_key() -> None:
    edge, seconds = Edge(), Seconds()
    authenticator = Authenticator(edge.api_keys, now=edge.clock.now, monotonic=seconds)
    header = edge.key("operator")["Authorization"]
    revoke(edge.api_keys, edge.api_keys.listed()[0].key_id, at=NOW)
    with pytest.raises(Problem):
        await authenticator.principal(header)
    edge.api_keys.is_down = True
    seconds.now = LOOKUP_FRESH_S + 1
    with pytest.raises(Problem):
        await authenticator.principal(header, only_reads=True)


def test_the_schema_declares_the_session_cookie() -> None:
    with TestClient(Edge().app()) as client:
        schemes = client.get("/schema/openapi.json").json()["components"]["securitySchemes"]
    assert schemes["session"] == {"type": "apiKey", "name": COOKIE, "in": "cookie"}
