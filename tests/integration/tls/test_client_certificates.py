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


LINKS = {
    "PostgreSQL": Link(
        "postgresql",
        "GRIDPROOF_DATABASE_URL",
        partial(postgresql, wants_certificates=True),
        "postgresql://app@127.0.0.1:PORT/postgres",
        "?sslcert=CERTIFICATE&sslkey=KEY",
    ),
    "cache": Link(
        "cache",
        "GRIDPROOF_REDIS_URL",
        partial(cache, wants_certificates=True),
        f"rediss://:{PASSWORD}@127.0.0.1:PORT/0",
        "?ssl_certfile=CERTIFICATE&ssl_keyfile=KEY",
    ),
}


@contextmanager
def served(link: Link, folder: Path) -> Iterator[tuple[str, Authority]]:
    authority = Authority(folder / "certificates")
    with link.serve(folder, authority) as port:
        yield link.address.replace("PORT", str(port)), authority


def checked(link: Link, address: str, authority: Authority) -> str:
    environ = {link.setting: address, "GRIDPROOF_TLS_CA_FILE": str(authority.file)}
    return next(one.state for one in run_checks(read_settings(environ)) if one.check == link.check)


def with_files(link: Link, files: CertificateFiles) -> str:
    return link.with_files.replace("CERTIFICATE", str(files.certificate)).replace("KEY", str(files.key))


@pytest.mark.parametrize("name", LINKS)
def test_a_client_certificate_in_the_address_opens_a_server_that_wants_one(name: str, tmp_path: Path) -> None:
    link = LINKS[name]
    with served(link, tmp_path) as (address, authority):
        assert checked(link, address, authority) == "wrong"
        strangers = Authority(tmp_path / "strangers", "strangers").client("app")
        assert checked(link, address + with_files(link, strangers), authority) == "wrong"
        opened = address + with_files(link, authority.client("app"))
        deadline = time.monotonic() + WITHIN_S
        while checked(link, opened, authority) != "ok":  # on a busy machine it may not answer in time
            assert time.monotonic() < deadline, "the server does not open"
