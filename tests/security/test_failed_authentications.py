"""M10: failed authentications are counted by address, limited, logged without the key, and reported."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from interfaces.web.authentication import failures as rules
from interfaces.web.authentication.failures import MAX_ENTRIES, MOST_IN_WINDOW, AuthenticationFailures
from interfaces.web.log_limiter import MOST_LINES
from interfaces.workers.web.monitor import FAILURES, MOST_SUBJECTS, WebMonitor
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.unit.interfaces.web.edge import WEBHOOK, Edge, RecordedCommands, SettableClock, accepting

WRONG = "gp_abcdef012345_wrong"


def requests_with(
    edge: Edge, headers: dict[str, str], number: int, path: str = "/api/portfolio"
) -> list[Any]:
    with edge.client() as client:
        return [client.get(path, headers=headers) for _ in range(number)]


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("api_key", {"Authorization": f"Bearer {WRONG}"}),
        ("session", {"Cookie": f"gridproof_session={WRONG}"}),
    ],
)
def test_wrong_keys_and_sessions_are_limited_logged_and_counted(kind: str, headers: dict[str, str]) -> None:
    edge = Edge()
    with edge.client() as client, capture_logs() as logs:
        answers = [client.get("/api/portfolio", headers=headers) for _ in range(MOST_IN_WINDOW + 5)]
        counted = client.get("/metrics", headers=edge.key("operator"))
    assert [answer.status_code for answer in answers] == [401] * MOST_IN_WINDOW + [429] * 5
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    lines = [line for line in logs if line["event"] == "authentication failed"]
    assert [line["failures"] for line in lines] == [1, MOST_IN_WINDOW + 1]
    assert {(line["address"], line["kind"]) for line in lines} == {("testclient", kind)}
    assert WRONG not in str(logs)
    total = f'gridproof_authentication_failures_total{{kind="{kind}"}} {float(MOST_IN_WINDOW + 5)}'
    assert total in counted.text
    assert counted.status_code == 200  # a correct key from the same address


def test_a_request_without_a_key_is_no_failed_authentication() -> None:
    answers = requests_with(Edge(), {}, MOST_IN_WINDOW + 5)
    assert {answer.status_code for answer in answers} == {401}


def test_a_wrong_signature_is_a_failed_authentication() -> None:
    edge = Edge(commands=RecordedCommands(accepting), secrets={"util-1": b"secret"})
    key = edge.key("utility", utility="util-1") | {"X-Signature": "t=1,v2=00"}
    with edge.client() as client, capture_logs() as logs:
        assert client.delete(f"{WEBHOOK}/E-1", headers=key).status_code == 401
    assert [line["kind"] for line in logs if line["event"] == "authentication failed"] == ["signature"]


def test_the_table_of_addresses_and_the_log_are_bounded() -> None:
    failures = AuthenticationFailures(monotonic=lambda: 0.0)
    with capture_logs() as logs:
        for number in range(MAX_ENTRIES + 500):
            failures.record(f"2001:db8:{number:x}::/64", "api_key")
    assert len(failures._counts) == MAX_ENTRIES
    assert len(logs) == MOST_LINES


def test_an_address_over_the_limit_raises_an_alert_until_it_is_quiet() -> None:
    now, alerts, clock = [0.0], FakeAlertRegistry(), SettableClock()
    failures = AuthenticationFailures(monotonic=lambda: now[0])
    monitor = WebMonitor(failures, alerts, clock)
    for _ in range(MOST_IN_WINDOW):
        failures.record("192.0.2.1", "api_key")
    asyncio.run(monitor.check())
    assert alerts.open_by_name() == {}
    failures.record("192.0.2.1", "api_key")
    asyncio.run(monitor.check())
    assert [(alert.name, alert.subject) for alert in alerts.listed()] == [(FAILURES, "192.0.2.1")]
    now[0] += rules.REPORTED_FOR_S + 1
    asyncio.run(monitor.check())
    assert alerts.open_by_name() == {}


def test_a_process_keeps_the_alert_of_what_another_one_still_sees() -> None:
    now, alerts, clock = [0.0], FakeAlertRegistry(), SettableClock()
    counts = [AuthenticationFailures(monotonic=lambda: now[0]) for _ in range(2)]
    monitors = [WebMonitor(one, alerts, clock, f"web {number}") for number, one in enumerate(counts)]
    for failures, at_s in zip(counts, (0.0, rules.REPORTED_FOR_S / 2), strict=True):
        now[0] = at_s
        for _ in range(MOST_IN_WINDOW + 1):
            failures.record("192.0.2.1", "api_key")
    for _ in range(60):
        for monitor in monitors:
            asyncio.run(monitor.check())
            assert alerts.open_by_name() == {FAILURES: 1}
        now[0] += rules.REPORTED_FOR_S / 100
        clock.moment += timedelta(seconds=rules.REPORTED_FOR_S / 100)
    assert [failures.over_limit() for failures in counts] == [{}, {"192.0.2.1": MOST_IN_WINDOW + 1}]


def test_many_addresses_raise_a_bounded_number_of_alerts() -> None:
    alerts, failures = FakeAlertRegistry(), AuthenticationFailures(monotonic=lambda: 0.0)
    for network in range(2 * MOST_SUBJECTS):
        for _ in range(MOST_IN_WINDOW + 1):
            failures.record(f"192.0.2.{network}", "api_key")
    asyncio.run(WebMonitor(failures, alerts, SettableClock()).check())
    assert alerts.open_by_name() == {FAILURES: MOST_SUBJECTS}
