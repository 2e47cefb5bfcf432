"""A real SMTP server (aiosmtpd) that demands TLS and a login, and keeps what it accepts."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from adapters.embedded.loopback import free_port

USER, PASSWORD = "gridproof", "mail-password"


@dataclass
class MailServer:
    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)

    def url(self, scheme: str) -> str:
        return f"{scheme}://{USER}@127.0.0.1:{self.port}"

    async def handle_RCPT(self, _: Any, __: Any, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if address in self.refuses:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = cast(bytes, envelope.content)
        self.mails.append(message_from_bytes(content, policy=policy.default))
        self.recipients.append([str(one) for one in envelope.rcpt_tos])
        return "250 accepted"


@contextmanager
def mail_server(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[MailServer]:
    """`starttls`: TLS after STARTTLS only; `tls`: from the first byte on; neither: a server without TLS."""
    server = MailServer(free_port())

    def authenticate(_: Any, __: Any, ___: Any, mechanism: str, data: Any) -> AuthResult:
        ok = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        return AuthResult(success=ok, handled=False)

    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=server.port,
        ssl_context=tls,
        tls_context=starttls,
        require_starttls=starttls is not None,
        auth_required=starttls is not None,
        auth_require_tls=tls is None,
        authenticator=authenticate,
        ready_timeout=30.0,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
