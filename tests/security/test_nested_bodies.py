"""L2: a body that is nested too deeply for the decoder is a bad request, at every route that takes one."""

import pytest

from tests.unit.interfaces.web.declared_policies import POLICIES
from tests.unit.interfaces.web.edge import Edge, accepting

TAKE_A_BODY = sorted(route for route in POLICIES if route.startswith(("POST", "PATCH", "PUT")))
DEPTH = 60_000
BODIES = {
    "open": b"[" * DEPTH,
    "closed": b"[" * DEPTH + b"]" * DEPTH,
    "a field": b'{"reason":' + b"[" * DEPTH + b"]" * DEPTH + b"}",
    "not UTF-8": b'{"reason": "\xff"}',
}


@pytest.mark.parametrize("route", TAKE_A_BODY)
def test_a_body_that_cannot_be_decoded_is_a_bad_request(route: str) -> None:
    method, _, path = route.partition(" ")
    for name in ("dr_event_id", "dead_letter_id", "import_id"):
        path = path.replace(f"{{{name}}}", "0" * 32)
    path = path.replace("{alert_id}", "1")
    edge = Edge()
    edge.commands.answer = accepting
    role = "utility" if "utility" in (POLICIES[route].roles or ()) else "admin"
    key = edge.key("utility", utility="util-1") if role == "utility" else edge.key("admin")
    with edge.client() as client:
        for name, body in BODIES.items():
            answer = client.request(
                method,
                path.replace("{", "").replace("}", ""),
                content=body,
                headers=key | {"Content-Type": "application/json"},
            )
            assert answer.status_code in ({200, 201, 400} if path == "/api/session" else {400}), name
