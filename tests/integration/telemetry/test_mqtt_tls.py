"""A real Mosquitto with TLS and client certificates, like AWS IoT Core."""

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gmqtt
import pytest
from structlog.testing import capture_logs

from adapters.mqtt import MqttMeterFeed, Version
from adapters.tls import TlsFilesError, tls_context
from tests.conftest import DebianCommand
from tests.integration.telemetry.feed_reader import Taken, eventually, reading
from tests.integration.telemetry.mosquitto import mosquitto
from tests.tls_certificates import Authority


@dataclass(frozen=True)
class SecureBroker:
    """A Mosquitto that requires a certificate of `authority`."""

    port: int
    authority: Authority
    client: tuple[Path, Path]

    async def publish(self, payload: str) -> None:
        """Publish with another client library."""
        cert, key = self.client
        client = gmqtt.Client("meter", clean_session=True)
        tls = tls_context(ca_file=self.authority.file, cert_file=cert, key_file=key)
        await client.connect("localhost", self.port, ssl=tls)
        client.publish(
            "meters/fac-001/m1/readings", payload, qos=1, user_property=("traceparent", "00-trace")
        )
        await asyncio.sleep(0.3)
        await client.disconnect()


@pytest.fixture
def broker(debian_command: DebianCommand, tmp_path: Path) -> Iterator[SecureBroker]:
    authority = Authority(tmp_path / "certificates")
    cert, key = authority.server("localhost")
    settings = (f"cafile {authority.file}", f"certfile {cert}", f"keyfile {key}", "require_certificate true",
                "use_identity_as_username true", "allow_anonymous false")  # fmt: skip
    with mosquitto(debian_command("mosquitto"), tmp_path, *settings) as port:
        client = authority.client("ingest")
        yield SecureBroker(port, authority, client)


def feed(
    broker: SecureBroker, tls: ssl.SSLContext, version: Version = "5", host: str = "localhost"
) -> MqttMeterFeed:
    return MqttMeterFeed(f"mqtts://{host}:{broker.port}", version=version, tls=tls, connect_within_s=5)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_client_certificate_opens_the_feed(broker: SecureBroker, version: Version) -> None:
    cert, key = broker.client
    tls = tls_context(ca_file=broker.authority.file, cert_file=cert, key_file=key, alpn="mqtt")

    async def scenario() -> None:
        taken = Taken()
        async with reading(feed(broker, tls, version), taken):
            await broker.publish("1")
            await eventually(lambda: taken.payloads == [b"1"])
        assert taken.messages[0].traceparent == ("00-trace" if version == "5" else None)

    asyncio.run(scenario())


async def _problem(refused: MqttMeterFeed) -> str:
    """The logged reason of a failed connection."""
    stop = asyncio.Event()
    with capture_logs() as logs:
        running = asyncio.create_task(refused.run(Taken(), stop))
        await eventually(lambda: bool(logs) or running.done())
        stop.set()
        await running
    return str(logs[0]["error"])


def test_a_failed_connection_is_logged_with_its_reason(broker: SecureBroker, tmp_path: Path) -> None:
    cert, key = broker.client
    stranger = Authority(tmp_path / "strangers", "stranger")
    strange_cert, strange_key = stranger.client("ingest")

    async def scenario() -> None:
        ca = broker.authority.file
        untrusted = await _problem(
            feed(broker, tls_context(ca_file=stranger.file, cert_file=cert, key_file=key))
        )
        assert "the server's certificate is not accepted" in untrusted
        other_name = await _problem(
            feed(broker, tls_context(ca_file=ca, cert_file=cert, key_file=key), host="127.0.0.1")
        )
        assert "not accepted" in other_name
        assert "127.0.0.1" in other_name
        # The network decides whether the broker's reason or its disconnect arrives first.
        refused = ("does not accept our client certificate", "may this client connect, with its certificate")
        none = await _problem(feed(broker, tls_context(ca_file=ca)))
        assert any(words in none for words in refused)
        strange = tls_context(ca_file=ca, cert_file=strange_cert, key_file=strange_key)
        theirs = await _problem(feed(broker, strange))
        assert any(words in theirs for words in refused)
        plain = MqttMeterFeed(f"mqtt://127.0.0.1:{broker.port}", connect_within_s=5)
        problem = await _problem(plain)
        assert "closed the connection before it answered" in problem
        assert "begin the address with mqtts://" in problem

    asyncio.run(scenario())


def test_unusable_files_are_reported_before_any_connection(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    cert, key = authority.client("one")
    _, other_key = authority.client("other")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    absent = tmp_path / "absent.pem"
    for ca, given_cert, given_key, said in (
        (absent, None, None, "absent.pem is not there"),
        (empty, None, None, "empty.pem holds no certificate"),
        (None, cert, None, "go together"),
        (None, cert, other_key, "no certificate and key that belong together"),
        (None, cert, empty, "no certificate and key that belong together"),
    ):
        with pytest.raises(TlsFilesError, match=said):
            tls_context(ca_file=ca, cert_file=given_cert, key_file=given_key)
    tls_context(cert_file=cert, key_file=key)
