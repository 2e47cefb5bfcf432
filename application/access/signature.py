"""HMAC signatures of HTTP requests: `X-Signature: t=<unix>,v2=<hex sha256>`.

A webhook call is signed with v2, which covers `<t>.<METHOD>.<path>?<query>.<idempotency key>.<hex sha256 of the body>`,
so that it serves exactly one request, whose repeats get the stored answer. A callback of ours is signed with v1, which
covers `<t>.<body>`. A header may contain several signatures, so that a secret can be changed without a gap.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Literal, NamedTuple

from application.ports.clock import Clock

SIGNATURE_HEADER = "X-Signature"
TOLERANCE_S = 300.0
WALL_FLOOR_S = 5.0
_MAX_HEADER = 1_024


class BadSignature(Exception):
    """No valid signature; the text says why."""


class StaleSignature(Exception):
    """A valid signature of another time; the text says of which."""


class AmbiguousKey(Exception):
    """With a full stop in the key, `/E-1` with the key `2.a` would be signed as `/E-1.2` with the key `a`."""


class SignedRequest(NamedTuple):
    """The request that a signature is for; all as it was sent."""

    method: str
    target: bytes
    """Path, with `?` and the query where there is one."""
    idempotency_key: bytes
    """Empty if the header is not sent."""
    body: bytes


class Signature(NamedTuple):
    """A valid signature of a webhook call."""

    value: bytes
    signed_at: int
    """Unix time."""


def sign_body(secret: bytes, body: bytes, *, at: datetime) -> str:
    """The value of the header of a callback."""
    stamp = str(int(at.timestamp()))
    return f"t={stamp},v1={_hmac(secret, _body_message(stamp, body)).hex()}"


def body_signed_at(header: str | None, body: bytes, *, secret: bytes) -> int:
    """The Unix time of the signature of a callback, of any age. Raises BadSignature."""
    stamp, given = _parsed(header, "v1")
    _check(given, _hmac(secret, _body_message(stamp, body)))
    return int(stamp)


def request_signature(header: str | None, request: SignedRequest, *, secret: bytes) -> Signature:
    """The signature of a webhook call, of any age. Raises BadSignature or AmbiguousKey."""
    stamp, given = _parsed(header, "v2")
    if b"." in request.idempotency_key:
        raise AmbiguousKey
    expected = _hmac(secret, _request_message(stamp, request))
    _check(given, expected)
    return Signature(expected, int(stamp))


def check_age(signature: Signature, clock: Clock) -> None:
    """Raises StaleSignature for one that is further than `tolerance_s` from our clock, in either direction."""
    age_s = abs(clock.now().timestamp() - signature.signed_at)
    if age_s > tolerance_s(clock):
        raise StaleSignature(f"signed {age_s:.0f} s from our clock, {tolerance_s(clock):.0f} s are tolerated")


def tolerance_s(clock: Clock) -> float:
    """Five minutes of the clock; on an accelerated clock at least WALL_FLOOR_S of wall time."""
    return max(TOLERANCE_S, WALL_FLOOR_S / clock.wall_seconds(1.0))


def _parsed(header: str | None, version: Literal["v1", "v2"]) -> tuple[str, list[str]]:
    """The time, and the signatures of that version."""
    if header is None:
        raise BadSignature(f"this utility signs its calls; the header {SIGNATURE_HEADER} is missing")
    parts = [part.strip().partition("=") for part in header[:_MAX_HEADER].split(",")]
    stamps, given = ([value for name, _, value in parts if name == wanted] for wanted in ("t", version))
    if len(stamps) != 1 or not given or not _is_unix_time(stamps[0]):
        raise BadSignature(
            f"not understood: {SIGNATURE_HEADER} is of the form t=<unix>,{version}=<hex sha256>"
        )
    return stamps[0], given


def _check(given: list[str], expected: bytes) -> None:
    hexadecimal = expected.hex().encode()
    if not any(hmac.compare_digest(hexadecimal, one.encode()) for one in given):
        raise BadSignature("the signature does not fit the request; sign exactly what is sent")


def _is_unix_time(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def _body_message(stamp: str, body: bytes) -> bytes:
    return stamp.encode() + b"." + body


def _request_message(stamp: str, request: SignedRequest) -> bytes:
    body = hashlib.sha256(request.body).hexdigest().encode()
    return b".".join((stamp.encode(), request.method.encode(), request.target, request.idempotency_key, body))


def _hmac(secret: bytes, message: bytes) -> bytes:
    return hmac.new(secret, message, hashlib.sha256).digest()
