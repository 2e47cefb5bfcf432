"""A repeated request is answered from the cache only if the stored record would give the same answer."""

from typing import Any

import msgspec

from application.commands.dr_event import Judgement
from domain.identifiers import dr_event_id
from interfaces.web.caching.response_cache import MAX_ENTRIES, UNSIGNED_S, IdempotentResponseCache
from tests.unit.interfaces.web.edge import NOW, WEBHOOK, Edge, RecordedCommands, accepting, notification
from tests.webhook_signature import sign


def cache_with_response(now: list[float]) -> IdempotentResponseCache:
    answers = IdempotentResponseCache(monotonic=lambda: now[0])
    answers.store("util-1", None, b"{}", b"answer", "/there")
    return answers


def test_a_response_is_returned_only_for_the_same_utility_key_and_body() -> None:
    answers = cache_with_response([0.0])
    answers.store("util-2", "other", b"{}", b"another answer", "/elsewhere")
    assert answers.find("util-1", None, b"{}") == (b"answer", "/there")
    assert answers.find("util-1", None, b"{ }") is None
    assert answers.find("util-1", "None", b"{}") is None
    assert answers.find("util-2", None, b"{}") is None


def test_whether_a_utility_signs_is_checked_again_after_a_while() -> None:
    now = [0.0]
    answers = cache_with_response(now)
    now[0] = UNSIGNED_S
    assert answers.find("util-1", None, b"{}") is None
    answers.store("util-1", "later", b"{}", b"answer", "/there")
    assert answers.find("util-1", None, b"{}") is not None


def test_the_number_of_cached_responses_is_bounded() -> None:
    answers = cache_with_response([0.0])
    for number in range(MAX_ENTRIES):
        answers.store("util-1", str(number), b"{}", b"answer", "/there")
    assert answers.find("util-1", None, b"{}") is None
    assert answers.find("util-1", "0", b"{}") is not None


def test_an_identical_repeated_request_does_not_reach_the_command_bus() -> None:
    edge = Edge(commands=RecordedCommands(accepting))
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        first, second = (client.post(WEBHOOK, json=notification(), headers=key) for _ in range(2))
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["location"] == first.headers["location"]
    assert len(edge.commands.given) == 1


def test_a_response_that_recorded_nothing_is_not_cached() -> None:
    def already_recorded(command: Any) -> Judgement:
        return Judgement(dr_event_id=dr_event_id("util-1", "UTIL-1"), status="already_known")

    edge = Edge(commands=RecordedCommands(already_recorded))
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        for _ in range(2):
            client.post(WEBHOOK, json=notification(), headers=key)
    assert len(edge.commands.given) == 2


def test_the_cache_never_skips_the_signature_check() -> None:
    edge = Edge(commands=RecordedCommands(accepting), secrets={"util-1": b"secret"})
    body = msgspec.json.encode(notification())
    unsigned = edge.key("utility", utility="util-1") | {"Content-Type": "application/json"}
    signed = unsigned | {"X-Signature": sign(b"secret", body, at=NOW)}
    with edge.client() as client:
        answers = [client.post(WEBHOOK, content=body, headers=one) for one in (signed, unsigned, signed)]
    assert [answer.status_code for answer in answers] == [202, 401, 202]
    assert len(edge.commands.given) == 2
