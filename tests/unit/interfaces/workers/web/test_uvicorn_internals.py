"""The internals of uvicorn that our HTTP protocol and server override, against the installed version (ADR 0053)."""

import asyncio
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from interfaces.web.guard import bounded_protocol
from interfaces.workers.web import server

OVERRIDDEN = {
    "connection_made",
    "connection_lost",
    "data_received",
    "on_message_begin",
    "on_header",
    "on_headers_complete",
    "on_body",
    "on_message_complete",
    "on_response_complete",
    "pause_writing",
    "resume_writing",
    "_start_asgi_task",
    "send_400_response",
}


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def methods(cls: type) -> dict[str, FunctionType]:
    return {name: value for name, value in vars(cls).items() if isinstance(value, FunctionType)}


def test_the_protocol_overrides_what_adr_0053_lists() -> None:
    base = methods(HttpToolsProtocol)
    assert methods(bounded_protocol.BoundedHttpProtocol).keys() & base.keys() == OVERRIDDEN


@pytest.mark.parametrize("name", sorted(OVERRIDDEN))
def test_an_overridden_method_has_the_parameters_of_uvicorns(name: str) -> None:
    ours, theirs = (getattr(one, name) for one in (bounded_protocol.BoundedHttpProtocol, HttpToolsProtocol))
    assert parameters(ours) == parameters(theirs)


def test_uvicorn_starts_every_request_in_the_overridden_method() -> None:
    starts = [
        name
        for name, method in methods(HttpToolsProtocol).items()
        if "create_task" in inspect.getsource(method)
    ]
    assert starts == ["_start_asgi_task"]


def test_a_connection_has_the_attributes_that_we_use() -> None:
    async def made() -> HttpToolsProtocol:
        return HttpToolsProtocol(uvicorn.Config(_app, log_config=None), ServerState(), {})

    protocol = asyncio.run(made())
    for name in (
        "transport",
        "flow",
        "cycle",
        "headers",
        "pipeline",
        "loop",
        "server_state",
        "client",
        "scheme",
    ):
        assert hasattr(protocol, name), name
    assert len(protocol.pipeline) == 0
    assert protocol.server_state.default_headers == []


def test_a_request_has_the_attributes_that_we_use() -> None:
    source = inspect.getsource(RequestResponseCycle.__init__)
    for name in ("response_complete", "response_started", "disconnected", "message_event"):
        assert f"self.{name}" in source, name


def test_flow_control_pauses_and_resumes_as_we_expect() -> None:
    assert parameters(FlowControl.__init__) == ["self", "transport"]
    assert parameters(FlowControl.resume_reading) == ["self"]
    transport = _Transport()
    flow = FlowControl(transport)  # type: ignore[arg-type]
    paused = []
    for change in (flow.pause_reading, flow.resume_reading, flow.pause_writing, flow.resume_writing):
        change()
        paused.append((flow.read_paused, flow.write_paused))
    assert paused == [(True, False), (False, False), (False, True), (False, False)]
    assert transport.calls == ["pause_reading", "resume_reading"]


def test_uvicorn_writes_the_expected_status_line() -> None:
    assert STATUS_LINE[400] == b"HTTP/1.1 400 Bad Request\r\n"
    assert "STATUS_LINE" in inspect.getsource(RequestResponseCycle)


def test_the_server_installs_signal_handlers_by_the_method_that_we_override() -> None:
    assert parameters(uvicorn.Server.capture_signals) == parameters(server._Server.capture_signals)
    assert "self.capture_signals()" in inspect.getsource(uvicorn.Server.serve)
    assert {"started", "should_exit"} <= vars(uvicorn.Server(uvicorn.Config(_app, log_config=None))).keys()


class _Transport:
    """Records the calls of a flow control."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """An application that sends no response."""
