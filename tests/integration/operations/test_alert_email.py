"""Alerts by e-mail, over a real SMTP server: encrypted, to the right server, within a limit."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.smtp import SmtpAlertChannel
from application.operations.alert_delivery import message_of
from application.ports.operations.alert_delivery import AlertMessage, AlertNotDelivered
from application.ports.operations.alerts import Alert
from tests.mail_server import PASSWORD, USER, mail_server
from tests.patience import ANSWER_S, END_S
from tests.tls_certificates import Authority

NOW = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
TO = ("ops@example.org", "second@example.org")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def message(subject: str = "relay") -> AlertMessage:
    alert = Alert(
        alert_id=7,
        name="relay_stopped",
        subject=subject,
        severity="page",
        detail="at position 9 — of 12",
        raised_at=NOW,
        last_seen_at=NOW,
    )
    return message_of("raised", [alert], sent_at=NOW)


def channel(url: str, authority: Authority, **changes: Any) -> SmtpAlertChannel:
    given: dict[str, Any] = {
        "sender": "gridproof@example.org",
        "recipients": TO,
        "password": lambda: PASSWORD,
        "ca_file": authority.file,
    }
    return SmtpAlertChannel("email", url, **(given | changes))


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_message_arrives_encrypted_with_its_alerts(authority: Authority, scheme: str) -> None:
    context = authority.server().context()
    with mail_server(**{"tls" if scheme == "smtps" else "starttls": context}) as server:
        asyncio.run(channel(server.url(scheme), authority).deliver(message()))
    [mail] = server.mails
    assert server.recipients == [list(TO)]
    assert mail["Subject"] == "[gridproof] page raised: relay_stopped: relay"
    assert (mail["From"], mail["To"], mail["Importance"]) == (
        "gridproof@example.org",
        "ops@example.org, second@example.org",
        "high",
    )
    assert mail["Message-ID"] == f"<{message().message_id}@example.org>"
    assert "7 page relay_stopped: relay\n  at position 9 — of 12" in mail.get_content().replace("\r", "")


def test_a_server_without_tls_gets_neither_password_nor_message(authority: Authority) -> None:
    with mail_server() as server, pytest.raises(AlertNotDelivered, match="STARTTLS"):
        asyncio.run(channel(server.url("smtp"), authority).deliver(message()))
    assert server.mails == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_server_whose_certificate_does_not_hold_gets_nothing(
    authority: Authority, scheme: str, tmp_path: Path
) -> None:
    of_another = authority.server("mail.example.org").context()
    of_nobody_known = Authority(tmp_path).server().context()
    for context in (of_another, of_nobody_known):
        with mail_server(**{"tls" if scheme == "smtps" else "starttls": context}) as server:
            with pytest.raises(AlertNotDelivered, match="certificate is not accepted"):
                asyncio.run(channel(server.url(scheme), authority).deliver(message()))
            assert server.mails == []


def unavailable() -> str:
    raise ValueError("env:MAIL is not set")


@pytest.mark.parametrize(
    ("password", "why"), [(lambda: "wrong", "Authentication"), (unavailable, "env:MAIL is not set")]
)
def test_a_login_that_fails_is_reported_without_the_password(
    authority: Authority, password: Callable[[], str], why: str
) -> None:
    with mail_server(starttls=authority.server().context()) as server:
        with pytest.raises(AlertNotDelivered, match=why) as failure:
            asyncio.run(channel(server.url("smtp"), authority, password=password).deliver(message()))
        assert "wrong" not in str(failure.value)


def test_one_refused_recipient_makes_it_not_delivered_and_the_others_get_it(authority: Authority) -> None:
    with mail_server(starttls=authority.server().context()) as server:
        server.refuses = {TO[1]}
        with pytest.raises(AlertNotDelivered, match="no such user"):
            asyncio.run(channel(server.url("smtp"), authority).deliver(message()))
    assert server.recipients == [[TO[0]]]


def test_a_message_tried_again_goes_only_to_those_who_were_refused(authority: Authority) -> None:
    async def scenario() -> None:
        mail = channel(server.url("smtp"), authority)
        for _ in range(3):
            with pytest.raises(AlertNotDelivered, match="no such user"):
                await mail.deliver(message())
        server.refuses = set()
        await mail.deliver(message())

    with mail_server(starttls=authority.server().context()) as server:
        server.refuses = {TO[1]}
        asyncio.run(scenario())
    assert server.recipients == [[TO[0]], [TO[1]]]


@pytest.fixture
def dripping() -> Iterator[int]:
    """The port of a server that sends its greeting byte by byte, and never ends it."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            while not stop.wait(0.05):
                try:
                    client.sendall(b"2")
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    stop.set()
    thread.join(END_S)
    listener.close()
    assert not thread.is_alive()


def test_a_server_that_answers_byte_by_byte_holds_nobody(authority: Authority, dripping: int) -> None:
    slow = channel(f"smtp://{USER}@127.0.0.1:{dripping}", authority, total_s=0.5)
    before = threading.active_count()

    async def scenario() -> None:
        with pytest.raises(AlertNotDelivered, match=r"not accepted within 0\.5 s"):
            await slow.deliver(message())

    asyncio.run(asyncio.wait_for(scenario(), ANSWER_S))
    assert threading.active_count() <= before


def test_a_name_that_is_resolved_too_late_holds_nobody(
    authority: Authority, dripping: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, is_late = socket.create_connection, threading.Event()

    def late(*about: Any, **named: Any) -> socket.socket:
        assert is_late.wait(ANSWER_S)
        return connect(*about, **named)

    monkeypatch.setattr(socket, "create_connection", late)
    slow = channel(f"smtp://{USER}@127.0.0.1:{dripping}", authority, total_s=0.1)

    async def scenario() -> None:
        asyncio.get_running_loop().call_later(0.3, is_late.set)
        with pytest.raises(AlertNotDelivered, match=r"not accepted within 0\.1 s"):
            await slow.deliver(message())

    asyncio.run(asyncio.wait_for(scenario(), ANSWER_S))


def test_text_of_other_hosts_adds_no_header(authority: Authority) -> None:
    with mail_server(starttls=authority.server().context()) as server:
        asyncio.run(channel(server.url("smtp"), authority).deliver(message("x\r\nBcc: all@example.org")))
    assert (server.mails[0]["Bcc"], server.recipients) == (None, [list(TO)])
