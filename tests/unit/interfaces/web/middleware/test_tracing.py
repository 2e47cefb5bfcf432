"""Requests that may change something are traced work: their span, its parent, and which requests have none."""

from typing import Any

import pytest
from litestar import Litestar, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.testing import TestClient
from structlog.contextvars import get_contextvars

from application.command_bus.spans import recorded_span
from interfaces.web.middleware.tracing import TracingMiddleware
from tests.recorded_spans import recorded_spans

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


@post("/things/{name:str}", status_code=202)
async def change(name: FromPath[str]) -> dict[str, Any]:
    return {"span": recorded_span(), "log": get_contextvars()}


@get("/things")
async def read() -> dict[str, Any]:
    return {"span": recorded_span()}


@post("/turned-away/{status:int}")
async def turn_away(status: FromPath[int]) -> None:
    raise HTTPException(status_code=status)


@pytest.fixture
def client() -> Any:
    app = Litestar([change, read, turn_away], middleware=[TracingMiddleware()], debug=False)
    return TestClient(app, raise_server_exceptions=False)


def test_a_change_is_a_child_of_the_callers_span_and_named_by_its_route(client: Any) -> None:
    with recorded_spans() as recorder, client:
        answer = client.post("/things/secret-name", headers=HEADERS).json()
    [span] = recorder.spans
    assert (span.name, span.kind) == ("POST /things/{name}", "server")
    assert (span.trace_id, span.parent_id) == (TRACE, CALLER)
    assert span.attributes == {"gridproof.status": 202}
    assert answer["span"] == [TRACE, span.span_id]
    assert answer["log"]["trace_id"] == TRACE


def test_a_caller_without_a_trace_begins_one(client: Any) -> None:
    with recorded_spans() as recorder, client:
        client.post("/things/a")
    [span] = recorder.spans
    assert len(span.trace_id) == 32
    assert span.parent_id is None


def test_a_read_has_no_span(client: Any) -> None:
    with recorded_spans() as recorder, client:
        assert client.get("/things", headers=HEADERS).json() == {"span": None}
    assert recorder.spans == []


@pytest.mark.parametrize(("status", "spans"), [(401, 0), (403, 0), (429, 0), (404, 0), (409, 1), (422, 1)])
def test_a_request_that_is_turned_away_at_the_door_has_no_span(client: Any, status: int, spans: int) -> None:
    """A flood of requests without a key would push other spans out of the queue."""
    with recorded_spans() as recorder, client:
        assert client.post(f"/turned-away/{status}").status_code == status
    assert len(recorder.spans) == spans
