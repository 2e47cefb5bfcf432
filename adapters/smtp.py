"""Alerts by e-mail: SMTP over TLS, by the standard library in a thread, within a time limit."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

from adapters.tls import connection_problem, plain_hint, tls_context
from application.bounded_cache import BoundedCache
from application.operations.alert_text import subject_of, text_of
from application.ports.operations.alert_delivery import AlertMessage, AlertNotDelivered

STEP_S, TOTAL_S = 10.0, 30.0
"""Wall seconds for one step of the protocol, and for a whole message."""
CUT_EVERY_S = 0.5
MAX_MESSAGES = 1_000
DEFAULT_PORTS = {"smtp": 587, "smtps": 465}
_ERRORS = (smtplib.SMTPException, OSError, ssl.SSLError, UnicodeError, ValueError)


class SmtpAlertChannel:
    """`url`: smtps://USER@HOST:465, or smtp://USER@HOST:587, where the server must offer STARTTLS. Nothing is sent
    without TLS, or to a server whose certificate does not hold.

    `password` resolves the secret for USER and raises ValueError where it is unavailable; `ca_file` replaces the
    machine's certificate authorities, and `also_ca_file` adds to them.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        sender: str,
        recipients: Sequence[str],
        password: Callable[[], str] | None = None,
        ca_file: Path | None = None,
        also_ca_file: Path | None = None,
        total_s: float = TOTAL_S,
    ) -> None:
        parts = urlsplit(url)
        self.name = name
        self._is_tls_at_once = parts.scheme == "smtps"
        self._host = parts.hostname or ""
        self._port = parts.port or DEFAULT_PORTS[parts.scheme]
        self._user = None if parts.username is None else unquote(parts.username)
        self._sender = sender
        self._recipients = list(recipients)
        self._password = password
        self._ca_file, self._also_ca_file = ca_file, also_ca_file
        self._total_s = total_s
        self._one_at_a_time = asyncio.Lock()
        self._accepted = BoundedCache[UUID, frozenset[str]]("mail recipients", max_size=MAX_MESSAGES)
        """Of a message that the server refused for others: they get it once, however often it is tried again."""

    async def deliver(self, message: AlertMessage) -> None:
        async with self._one_at_a_time:
            connection = _Connection()
            sending = asyncio.create_task(asyncio.to_thread(self._send, message, connection))
            try:
                await asyncio.wait_for(asyncio.shield(sending), self._total_s)
            except TimeoutError as error:
                raise AlertNotDelivered(f"not accepted within {self._total_s:g} s") from error
            except _ERRORS as error:
                raise AlertNotDelivered(self._problem(error)) from error
            finally:
                # A server that answers byte by byte keeps each step's time limit: without its socket the thread ends.
                # A thread that still looks up the name has none yet.
                while not sending.done():
                    connection.cut()
                    await asyncio.wait([sending], timeout=CUT_EVERY_S)

    def _send(self, message: AlertMessage, connection: _Connection) -> None:
        context = tls_context(ca_file=self._ca_file, also_ca_file=self._also_ca_file)
        client: smtplib.SMTP
        if self._is_tls_at_once:
            client = smtplib.SMTP_SSL(timeout=STEP_S, context=context)
        else:
            client = smtplib.SMTP(timeout=STEP_S)
        connection.client = client
        with client:
            client._host = self._host  # type: ignore[attr-defined]  # the name that the certificate must hold
            client.connect(self._host, self._port)
            if not self._is_tls_at_once:
                client.starttls(context=context)
            if self._user is not None and self._password is not None:
                client.login(self._user, self._password())
            accepted = self._accepted.get(message.message_id) or frozenset()
            asked = [address for address in self._recipients if address not in accepted]
            refused = client.send_message(self._mail(message), to_addrs=asked)
        if refused:
            self._accepted.put(message.message_id, accepted.union(asked).difference(refused))
            raise smtplib.SMTPRecipientsRefused(refused)

    def _problem(self, error: Exception) -> str:
        """A server that speaks TLS from the first byte on sends no greeting to a client that waits for one."""
        silent = isinstance(error, smtplib.SMTPServerDisconnected) and not self._is_tls_at_once
        return f"{connection_problem(error)}; {plain_hint('smtps')}" if silent else connection_problem(error)

    def _mail(self, message: AlertMessage) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = subject_of(message)
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._recipients)
        mail["Date"] = format_datetime(message.sent_at)
        mail["Message-ID"] = f"<{message.message_id}@{self._sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        if message.alerts[0].severity == "page" and message.kind != "ended":
            mail["Importance"] = "high"
        mail.set_content(text_of(message))
        return mail


class _Connection:
    """The client of a thread, for whoever has to end it."""

    def __init__(self) -> None:
        self.client: smtplib.SMTP | None = None

    def cut(self) -> None:
        client = self.client
        if client is not None and client.sock is not None:
            with suppress(OSError):
                client.sock.shutdown(2)
