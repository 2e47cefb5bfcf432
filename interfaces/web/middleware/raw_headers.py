"""Functions over raw headers of requests and responses, in their order."""

from collections.abc import Iterable

RawHeaders = list[tuple[bytes, bytes]]


def header_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The first value of that name (in lower case); empty if there is none."""
    for given, value in headers:
        if len(given) == len(name) and given.lower() == name:
            return value
    return b""


def list_header_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The value of a list header: all lines of that name form one list, in their order (RFC 9110, 5.3)."""
    return b", ".join(value for given, value in headers if len(given) == len(name) and given.lower() == name)
