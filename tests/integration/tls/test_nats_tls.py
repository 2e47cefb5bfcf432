"""Connections to NATS over TLS: client certificates, and servers that speak none."""

import asyncio
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from nats.errors import NoServersError

from adapters.embedded import EmbeddedServers, binaries
from adapters.embedded.loopback import free_port
from adapters.nats.connection import _Client, connect
from tests.integration.tls.links import running
from tests.patience import ANSWER_S
from tests.tls_certificates import Authority

REFUSED_FOR_S = 2.0
INFO = b'INFO {"server_id": "x", "version": "2.14.0", "max_payload": 1048576, "auth_required": true}\r\n'


async def attempt(url: str) -> None:
    client = await connect(url, name="test", keep_trying=False, timeout_s=60)
    await client.close()


def test_a_server_without_tls_gets_no_login_at_a_tls_address() -> None:
    async def scenario() -> bytes:
        received = bytearray()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(INFO)
            received.extend(await reader.read())
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(NoServersError, match="speaks no TLS: give its configuration a tls block"):
                await attempt(f"tls://app:secret@127.0.0.1:{port}")
        return bytes(received)

    assert b"secret" not in asyncio.run(scenario())


def test_servers_that_are_named_before_tls_begins_are_not_used() -> None:
    """Whoever is between them could name one of his own."""

    async def scenario() -> list[str]:
        client = _Client()
        client.options["dont_randomize"] = True
        client._current_server = SimpleNamespace(uri=urlsplit("tls://a:4222"))  # type: ignore[assignment]
        client._setup_server_pool(["tls://a:4222"])
        info = json.loads(INFO.removeprefix(b"INFO ")) | {"tls_required": True, "connect_urls": ["evil:4222"]}
        await client._process_info(info, initial_connection=True)
        return [server.uri.netloc for server in client._server_pool]

    assert asyncio.run(scenario()) == ["a:4222"]


def test_the_embedded_server_is_refused_at_a_tls_address(nats_server: EmbeddedServers) -> None:
    with pytest.raises(NoServersError, match="speaks no TLS"):
        asyncio.run(attempt(nats_server.nats_url.replace("nats://", "tls://")))


def test_a_client_certificate_opens_a_server_that_wants_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    files, client, port = authority.server(), authority.client("app"), free_port()
    configuration = tmp_path / "nats.conf"
    tls = f'cert_file: "{files.certificate}", key_file: "{files.key}", ca_file: "{authority.file}", verify: true'
    configuration.write_text(f'listen: "127.0.0.1:{port}"\ntls {{ {tls} }}\n')
    with running([binaries.nats_server(), "-c", configuration], port, log=tmp_path / "log"):
        url = f"tls://127.0.0.1:{port}?ca_file={authority.file}"
        asyncio.run(attempt(f"{url}&cert_file={client.certificate}&key_file={client.key}"))
        with pytest.raises(NoServersError):
            asyncio.run(attempt(url))


def test_a_client_that_keeps_trying_connects_once_the_certificate_is_right(tmp_path: Path) -> None:
    authority, strangers = (
        Authority(tmp_path / "certificates"),
        Authority(tmp_path / "strangers", "strangers"),
    )
    right, wrong, port = authority.server(), strangers.server(), free_port()
    used = [tmp_path / "server.pem", tmp_path / "server.key"]
    arguments = [
        "-a",
        "127.0.0.1",
        "-p",
        str(port),
        "--tls",
        "--tlscert",
        str(used[0]),
        "--tlskey",
        str(used[1]),
    ]

    async def scenario() -> None:
        connecting = asyncio.create_task(
            connect(f"tls://127.0.0.1:{port}?ca_file={authority.file}", name="test", timeout_s=60)
        )
        with running([binaries.nats_server(), *arguments], port, log=tmp_path / "log"):
            done, _ = await asyncio.wait({connecting}, timeout=REFUSED_FOR_S)
            assert not done
        for source, target in zip(right, used, strict=True):
            shutil.copy(source, target)
        with running([binaries.nats_server(), *arguments], port, log=tmp_path / "log"):
            client = await asyncio.wait_for(connecting, ANSWER_S)
            await client.close()

    for source, target in zip(wrong, used, strict=True):
        shutil.copy(source, target)
    asyncio.run(scenario())
