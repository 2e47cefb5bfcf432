"""HMAC signatures of HTTP requests: `X-Signature: t=<unix>,v2=<hex sha256>`.

v2 covers `<t>.<METHOD>.<path>?<query>.<idempotency key>.<hex sha256 of the body>`, so that it serves exactly one
request, whose repeats get the stored answer. v1 covers `<t>.<body>`: callbacks are signed with it, and webhook calls of
utilities that were recorded before v2, until a date of theirs; each serves one request (see UsedSignatures). A header
may contain several signatures of a version, so that a secret can be changed without a gap. A v2 is never passed over
for a v1.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple

from application.ports.clock import Clock

SIGNATURE_HEADER = "X-Signature"
TOLERANCE_S = 300.0
WALL_FLOOR_S = 5.0
_MAX_HEADER = 1_024
_FORM = f"{SIGNATURE_HEADER} is of the form t=<unix>,v2=<hex sha256>"


class BadSignature(Exception):
    """No valid signature; the text says why."""


class StaleSignature(Exception):
    """A valid signature of another time; the text says of which."""


class AmbiguousKey(Exception):
    """With a full stop in the key, `/E-1` with the key `2.a` would be signed as `/E-1.2` with the key `a`."""


class SignedRequest(NamedTuple):
    """What a signature is for; all as it was sent. v1 covers the body only."""

    method: str
    target: bytes
    """Path, with `?` and the query where there is one."""
    idempotency_key: bytes
    """Empty if the header is not sent."""
    body: bytes

    def digest(self) -> bytes:
        """Differs for any two requests that differ."""
        parts = (self.method.encode(), self.target, self.idempotency_key, self.body)
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


class Signature(NamedTuple):
    """A valid signature."""

    version: Literal["v1", "v2"]
    value: bytes
    signed_at: int
    """Unix time."""


def sign_body(secret: bytes, body: bytes, *, at: datetime) -> str:
    """The value of the header, with a v1 signature."""
    stamp = str(int(at.timestamp()))
    return f"t={stamp},v1={_hmac(secret, _v1_message(stamp, body)).hex()}"


def valid_signature(
    header: str | None, request: SignedRequest, *, secret: bytes, accepts_v1: Callable[[], bool]
) -> Signature:
    """The signature of a request, of any age. Raises BadSignature or AmbiguousKey."""
    stamp, v2, v1 = _parsed(header)
    if not v2 and not accepts_v1():
        raise BadSignature(f"v1 signatures are not accepted; {_FORM}")
    if v2 and b"." in request.idempotency_key:
        raise AmbiguousKey
    expected = _hmac(secret, _v2_message(stamp, request) if v2 else _v1_message(stamp, request.body))
    hexadecimal = expected.hex().encode()
    if not any(hmac.compare_digest(hexadecimal, given.encode()) for given in v2 or v1):
        raise BadSignature("the signature does not fit the request; sign exactly what is sent")
    return Signature("v2" if v2 else "v1", expected, int(stamp))


def check_age(signature: Signature, clock: Clock) -> None:
    """Raises StaleSignature for one that is further than `tolerance_s` from our clock, in either direction."""
    age_s = abs(clock.now().timestamp() - signature.signed_at)
    if age_s > tolerance_s(clock):
        raise StaleSignature(f"signed {age_s:.0f} s from our clock, {tolerance_s(clock):.0f} s are tolerated")


def tolerance_s(clock: Clock) -> float:
    """Five minutes of the clock; on an accelerated clock at least WALL_FLOOR_S of wall time."""
    return max(TOLERANCE_S, WALL_FLOOR_S / clock.wall_seconds(1.0))


def _parsed(header: str | None) -> tuple[str, list[str], list[str]]:
    """The time, and the signatures v2 and v1."""
    if header is None:
        raise BadSignature(f"this utility signs its calls; the header {SIGNATURE_HEADER} is missing")
    parts = [part.strip().partition("=") for part in header[:_MAX_HEADER].split(",")]
    stamps, v2, v1 = ([value for name, _, value in parts if name == wanted] for wanted in ("t", "v2", "v1"))
    if len(stamps) != 1 or not (v2 or v1) or not _is_unix_time(stamps[0]):
        raise BadSignature(f"not understood: {_FORM}")
    return stamps[0], v2, v1


def _is_unix_time(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def _v1_message(stamp: str, body: bytes) -> bytes:
    return stamp.encode() + b"." + body


def _v2_message(stamp: str, request: SignedRequest) -> bytes:
    body = hashlib.sha256(request.body).hexdigest().encode()
    return b".".join((stamp.encode(), request.method.encode(), request.target, request.idempotency_key, body))


def _hmac(secret: bytes, message: bytes) -> bytes:
    return hmac.new(secret, message, hashlib.sha256).digest()
