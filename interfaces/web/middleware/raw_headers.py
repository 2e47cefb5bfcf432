"""Headers as the server has them: of requests and of answers, in their order."""

from collections.abc import Iterable

RawHeaders = list[tuple[bytes, bytes]]


def header_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The first of that name (in small letters); empty where there is none."""
    for found, value in headers:
        if len(found) == len(name) and found.lower() == name:
            return value
    return b""


def list_header_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """Of a header that is a list: all lines of that name are one list, in their order (RFC 9110, 5.3)."""
    return b", ".join(value for found, value in headers if len(found) == len(name) and found.lower() == name)
