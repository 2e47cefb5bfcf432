"""Servers that want a certificate of the client: PostgreSQL and the cache (NATS and MQTT have tests of their own)."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from interfaces.bootstrap.doctor.checks import run_checks
from interfaces.settings.settings import read_settings
from tests.integration.tls.links import PASSWORD, cache, postgresql
from tests.tls_certificates import Authority, CertificateFiles

WITHIN_S = 240.0


class Link(NamedTuple):
    """`address` has PORT, `with_files` what follows it with CERTIFICATE and KEY."""

    check: str
    setting: str
    serve: Callable[[Path, Authority], AbstractContextManager[int]]
    address: str
    with_files: str
    without: str
    of_strangers: str
    """What is said of a connection without a certificate, and with one of another authority."""


LINKS = {
    "PostgreSQL": Link(
        "postgresql",
        "GRIDPROOF_DATABASE_URL",
        partial(postgresql, wants_certificates=True),
        "postgresql://app@127.0.0.1:PORT/postgres",
        "?sslcert=CERTIFICATE&sslkey=KEY",
        "requires a valid client certificate",
        "unknown ca",
    ),
    "cache": Link(
        "cache",
        "GRIDPROOF_REDIS_URL",
        partial(cache, wants_certificates=True),
        f"rediss://:{PASSWORD}@127.0.0.1:PORT/0",
        "?ssl_certfile=CERTIFICATE&ssl_keyfile=KEY",
        "(TLSV13_ALERT_CERTIFICATE_REQUIRED)",
        "(TLSV1_ALERT_UNKNOWN_CA)",
    ),
}


@contextmanager
def served(link: Link, folder: Path) -> Iterator[tuple[str, Authority]]:
    authority = Authority(folder / "certificates")
    with link.serve(folder, authority) as port:
        yield link.address.replace("PORT", str(port)), authority


def until_said(link: Link, address: str, authority: Authority, words: str) -> None:
    """Ask as `gridproof doctor` does, until its row says so: on a busy machine it may not answer in time."""
    environ = {link.setting: address, "GRIDPROOF_TLS_CA_FILE": str(authority.file)}
    deadline = time.monotonic() + WITHIN_S
    while True:
        row = next(one for one in run_checks(read_settings(environ)) if one.check == link.check)
        said = f"{row.state}: {row.detail}"
        if words in said:
            return
        assert time.monotonic() < deadline, said


def with_files(link: Link, files: CertificateFiles) -> str:
    return link.with_files.replace("CERTIFICATE", str(files.certificate)).replace("KEY", str(files.key))


@pytest.mark.parametrize("name", LINKS)
def test_a_client_certificate_in_the_address_opens_a_server_that_wants_one(name: str, tmp_path: Path) -> None:
    link = LINKS[name]
    with served(link, tmp_path) as (address, authority):
        until_said(link, address, authority, link.without)
        strangers = Authority(tmp_path / "strangers", "strangers").client("app")
        until_said(link, address + with_files(link, strangers), authority, link.of_strangers)
        until_said(link, address + with_files(link, authority.client("app")), authority, "ok: ")
