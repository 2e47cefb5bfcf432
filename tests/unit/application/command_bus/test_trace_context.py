"""A trace is continued only if it is valid W3C trace context: it is sent on as a header."""

import pytest

from application.command_bus.trace_context import trace_id_in

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "said", [f"00-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-00", f"01-{TRACE}-{PARENT}-01-more"]
)
def test_a_well_formed_traceparent_has_a_trace_id_also_in_a_later_version(said: str) -> None:
    assert trace_id_in(said) == TRACE


@pytest.mark.parametrize(
    "said",
    [
        "",
        "junk",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
        f"00-{TRACE}-{PARENT}-01-more\r\nNats-Msg-Id: 1",
        f"00-{TRACE}-{PARENT}-01-{'x' * 1_000}",
    ],
)
def test_a_malformed_traceparent_has_no_trace_id(said: str) -> None:
    assert trace_id_in(said) is None
