"""Every link to a server, with a certificate of a private authority that the machine does not know."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from interfaces.settings.settings import Settings
from tests.integration.tls.links import LINKS, Link
from tests.tls_certificates import Authority

WITHIN_S = 240.0


class ServedLink(NamedTuple):
    link: Link
    port: int
    authority: Authority


@pytest.fixture(scope="module", params=LINKS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedLink]:
    folder, link = tmp_path_factory.mktemp("link"), LINKS[request.param]
    authority = Authority(folder / "certificates")
    with link.serve(folder, authority) as port:
        yield ServedLink(link, port, authority)


def outcome(served: ServedLink, expected: str, settings: Settings) -> str:
    """What the attempt says, "" where it succeeds. On a busy machine more than one may end at a time limit."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            served.link.attempt(settings)
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            said = str(error)
        else:
            return ""
        was_late = any(word in said.lower() for word in ("timed out", "timeout", "in time"))
        if (expected and expected in said) or not was_late or time.monotonic() > deadline:
            return said


def test_a_server_of_the_authority_in_the_settings_is_used(served: ServedLink) -> None:
    assert outcome(served, "", served.link.settings(served.port, ca_file=served.authority.file)) == ""


def test_a_server_of_another_authority_is_refused(served: ServedLink, tmp_path: Path) -> None:
    strangers, expected = Authority(tmp_path / "strangers", "strangers"), "GRIDPROOF_TLS_CA_FILE"
    assert expected in outcome(served, expected, served.link.settings(served.port, ca_file=strangers.file))


def test_a_server_whose_certificate_is_for_another_name_is_refused(served: ServedLink) -> None:
    settings = served.link.settings(served.port, ca_file=served.authority.file, host="localhost")
    expected = "use a name that it holds"
    assert expected in outcome(served, expected, settings)


def test_a_connection_without_tls_is_refused_with_what_to_set(served: ServedLink) -> None:
    if served.link.plain is None:
        pytest.skip("its protocol changes to TLS by itself")
    expected = served.link.says
    assert expected in outcome(served, expected, served.link.settings(served.port, scheme=served.link.plain))
