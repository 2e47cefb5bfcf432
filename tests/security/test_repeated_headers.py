"""L10: a header that decides who calls, or what is meant, is given once: a proxy might read another one than we do."""

from collections.abc import Iterator

import pytest

from tests.unit.interfaces.workers.web.echo_server import served, until_closed

ONE = b"GET / HTTP/1.1\r\n%sConnection: close\r\n\r\n"
REPEATED = {
    "Authorization": b"Host: h\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "Host": b"Host: a\r\nhost: b\r\n",
    "X-Signature": b"Host: h\r\nX-Signature: t=1,v2=a\r\nx-signature: t=1,v2=a\r\n",
    "Idempotency-Key": b"Host: h\r\nIdempotency-Key: a\r\nAccept: */*\r\nIDEMPOTENCY-KEY: b\r\n",
}


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with served() as found:
        yield found


@pytest.mark.parametrize("name", REPEATED)
def test_a_repeated_header_is_refused_by_its_name(address: tuple[str, int], name: str) -> None:
    answer, _ = until_closed(address, ONE % REPEATED[name])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert f"given more than once: {name.lower()}".encode() in answer


def test_a_request_without_host_is_refused(address: tuple[str, int]) -> None:
    answer, _ = until_closed(address, ONE % b"")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"the header Host is missing" in answer


def test_other_headers_may_be_repeated(address: tuple[str, int]) -> None:
    answer, _ = until_closed(address, ONE % b"Host: h\r\nAccept: a/b\r\nAccept: c/d\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
