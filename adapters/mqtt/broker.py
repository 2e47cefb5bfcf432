"""The address of the broker, and the login of a client."""

import asyncio
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

from adapters.mqtt import packets
from adapters.mqtt.connection import KEEPALIVE_S, Connection
from adapters.mqtt.packets import BrokerResponse, Version
from adapters.tls import connection_problem, plain_hint, tls_context

SESSION_EXPIRY_S = 7 * 86_400
"""MQTT 5: how long the broker stores messages for a disconnected session. The telemetry log keeps readings as
long by default."""
_CLOSED_WITHOUT_ANSWER = (
    "the broker closed the connection before it answered; "
    f"may this client connect, with its certificate and id? {plain_hint('mqtts')}"
)


class MqttRefused(ConnectionError):
    """The broker does not let this client connect."""


class Broker:
    """The broker at `url` (`mqtt://user:password@host:port` or `mqtts://`). Raises TlsFilesError."""

    def __init__(
        self, url: str, *, version: Version, tls: ssl.SSLContext | None, within_s: float = 10.0
    ) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "mqtts"
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or (8883 if secure else 1883)
        self.version: Version = version
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._ssl = (tls or tls_context()) if secure else None
        self.within_s = within_s

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    async def log_in(
        self,
        connection: Connection,
        client_id: str,
        *,
        receive_maximum: int = 8_192,
        clean_session: bool = False,
    ) -> None:
        """Connect. The session persists unless `clean_session`. Raises OSError (MqttRefused)."""
        await asyncio.get_running_loop().create_connection(
            lambda: connection, self.host, self.port, ssl=self._ssl
        )
        connection.send(
            packets.connect(
                self.version,
                client_id,
                user=self._user,
                password=self._password,
                keepalive_s=KEEPALIVE_S,
                receive_maximum=receive_maximum,
                session_expiry_s=None if clean_session else SESSION_EXPIRY_S,
            )
        )
        answer = await answered(connection, connection.connack)
        if answer.refusal is not None:
            raise MqttRefused(f"the broker refuses the connection: {answer.refusal}")


def brokers_at(
    urls: str, *, version: Version, tls: ssl.SSLContext | None, within_s: float = 10.0
) -> list[Broker]:
    """The brokers of a list with commas. Raises TlsFilesError."""
    return [Broker(url.strip(), version=version, tls=tls, within_s=within_s) for url in urls.split(",")]


async def answered(connection: Connection, answer: "asyncio.Future[BrokerResponse]") -> BrokerResponse:
    """The broker's response. Raises OSError where it closed the connection instead."""
    either: list[asyncio.Future[Any]] = [answer, connection.over]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if answer.done() and not answer.cancelled():
        return answer.result()
    error = connection.over.result()
    if error is None or isinstance(error, ConnectionResetError):
        raise MqttRefused(_CLOSED_WITHOUT_ANSWER) from error
    raise error


async def check_login(urls: str, *, version: Version, tls: ssl.SSLContext | None, client_id: str) -> str:
    """Log in and out again at each broker, for `gridproof doctor`. Returns what they say; one that answers is enough.

    Raises MqttRefused where none of them lets this client in.
    """
    answers, failures = [], []
    for broker in brokers_at(urls, version=version, tls=tls):
        try:
            await _log_in_and_out(broker, client_id)
        except (OSError, TimeoutError) as error:
            failures.append(error)
            answers.append(f"{broker.name} does not: {connection_problem(error)}")
        else:
            answers.append(f"takes connections on port {broker.port}, MQTT {version}")
    if len(failures) == len(answers):
        raise MqttRefused("; ".join(answers)) from failures[0]
    return "; ".join(answers)


async def _log_in_and_out(broker: Broker, client_id: str) -> None:
    connection = Connection(NoRoom(), broker.version)
    try:
        async with asyncio.timeout(broker.within_s):
            await broker.log_in(connection, client_id, clean_session=True)
    finally:
        connection.close(packets.DISCONNECT_PACKET)


class NoRoom:
    """A consumer that takes no message: the broker keeps them."""

    def has_room(self) -> bool:
        return False

    def take(self, *_message_and_confirm: object) -> None:
        """Never called."""
