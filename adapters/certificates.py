"""Certificates read from files and from TLS servers."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import psycopg
import structlog
from cryptography import x509
from psycopg.conninfo import conninfo_to_dict

from application.ports.operations.certificates import CertificateEnd

CONNECT_S = 5.0
DEFAULT_PORTS = {"https": 443, "mqtts": 8883, "rediss": 6379, "smtps": 465}
"""The schemes whose servers begin with TLS. Of STARTTLS it is not read."""
_POSTGRESQL, _NATS = frozenset({"postgresql", "postgres"}), frozenset({"nats", "tls"})
_CLIENT_FILES = ("sslcert", "cert_file", "ssl_certfile")
"""Of libpq, of our addresses of NATS, and of redis-py."""
_SSL_REQUEST = struct.pack("!ii", 8, 80_877_103)
_MAX_INFO = 32_768
_AT_ONCE = 8
log = structlog.get_logger(__name__)

Upgrade = Callable[[socket.socket], bool]
"""Asks the server for TLS, as its protocol does before the handshake. False: it speaks none."""


class _TlsServer(NamedTuple):
    setting: str
    host: str
    port: int
    upgrade: Upgrade

    @property
    def name(self) -> str:
        return f"{self.setting} {self.host}:{self.port}"


class FileAndServerCertificates:
    """`files` and `urls` by the name of their setting; a list of addresses has commas. A URL of another scheme is
    passed over, and so is a server that speaks no TLS."""

    def __init__(self, files: Mapping[str, Path], urls: Mapping[str, str]) -> None:
        self._files = dict(files)
        self._urls = dict(urls)

    def ends(self) -> list[CertificateEnd]:
        return [*self._of_files(), *self._of_servers()]

    def _of_files(self) -> Iterator[CertificateEnd]:
        for name, file in self._files.items():
            try:
                found = x509.load_pem_x509_certificates(file.read_bytes())
            except (OSError, ValueError) as error:
                log.warning("certificate not read", file=str(file), why=str(error))
            else:
                yield CertificateEnd(name, min(one.not_valid_after_utc for one in found))

    def _of_servers(self) -> Iterator[CertificateEnd]:
        servers = [server for name, url in self._urls.items() for server in _servers(name, url)]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="certificates") as threads:
            yield from filter(None, threads.map(_end_of, servers))


def client_files(name: str, url: str) -> dict[str, Path]:
    """The setting `name` with a parameter -> the file of a client certificate that its address names there."""
    if _is_postgresql(url):
        given = {key: str(value) for key, value in _conninfo(url).items()}
    else:
        given = dict(parse_qsl(url.partition(",")[0].partition("?")[2]))
    return {f"{name} {key}": Path(given[key]) for key in _CLIENT_FILES if given.get(key)}


def _servers(name: str, url: str) -> Iterator[_TlsServer]:
    if _is_postgresql(url):
        yield from _postgresql_servers(name, url)
        return
    for one in url.split(","):
        try:
            parts = urlsplit(one.strip())
            port = parts.port or (4222 if parts.scheme in _NATS else DEFAULT_PORTS.get(parts.scheme))
        except ValueError:
            continue
        if parts.hostname is not None and port is not None and parts.scheme in {*DEFAULT_PORTS, *_NATS}:
            upgrade = _after_info if parts.scheme in _NATS else _at_once
            yield _TlsServer(name, parts.hostname, port, upgrade)


def _postgresql_servers(name: str, url: str) -> Iterator[_TlsServer]:
    """The hosts of an address of libpq, but those of sockets, and of sessions that want no TLS."""
    known = _conninfo(url)
    hosts, ports = (str(known.get(key) or "").split(",") for key in ("host", "port"))
    if known.get("sslmode") == "disable":
        return
    for host, port in zip_longest(hosts, ports, fillvalue=ports[0]):
        if host and not host.startswith("/"):
            yield _TlsServer(name, host, int(port or 5432), _after_ssl_request)


def _is_postgresql(url: str) -> bool:
    return url.partition(":")[0] in _POSTGRESQL or "://" not in url


def _conninfo(url: str) -> dict[str, Any]:
    """The parameters of an address of libpq; none of one that is wrong."""
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return {}


def _end_of(server: _TlsServer) -> CertificateEnd | None:
    try:
        certificate = _certificate_of(server)
    except (OSError, ValueError) as error:
        log.info("certificate not read", server=server.name, why=str(error))
        return None
    return None if certificate is None else CertificateEnd(server.name, certificate.not_valid_after_utc)


def _certificate_of(server: _TlsServer) -> x509.Certificate | None:
    """As the server shows it; None: it speaks no TLS. It is not verified: also one that has ended is to be read."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((server.host, server.port), timeout=CONNECT_S) as connection:
        if not server.upgrade(connection):
            return None
        with context.wrap_socket(connection, server_hostname=server.host) as encrypted:
            shown = encrypted.getpeercert(binary_form=True)
    if shown is None:
        raise ssl.SSLError("the server showed no certificate")
    return x509.load_der_x509_certificate(shown)


def _at_once(_: socket.socket) -> bool:
    return True


def _after_ssl_request(connection: socket.socket) -> bool:
    """PostgreSQL answers one byte."""
    connection.sendall(_SSL_REQUEST)
    return connection.recv(1) == b"S"


def _after_info(connection: socket.socket) -> bool:
    """NATS begins with a line that says whether it speaks TLS; the handshake follows it."""
    line = b""
    while not line.endswith(b"\r\n") and len(line) < _MAX_INFO:
        piece = connection.recv(1)  # no more than the line: what follows it is the handshake
        if not piece:
            raise ConnectionError("the server closed the connection")
        line += piece
    verb, _, document = line.partition(b" ")
    if verb != b"INFO":
        raise ValueError("the server is no NATS server")
    info = json.loads(document)
    return bool(info.get("tls_required") or info.get("tls_available"))
