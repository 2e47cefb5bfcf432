"""HMAC signatures of webhook calls: `X-Signature: t=<unix>,v2=<hex sha256>`.

v2 covers `<t>.<METHOD>.<path>?<query>.<idempotency key>.<hex sha256 of the body>`, so that it serves exactly one
request, whose repeats get the stored answer. v1 covers `<t>.<body>`; it is accepted from utilities that were recorded
before v2, until a date of theirs, and each serves one request (see UsedSignatures). A header may contain several
signatures of a version, so that a utility can change its secret without a gap. A v2 is never passed over for a v1.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Literal, NamedTuple

from application.ports.clock import Clock
from interfaces.web.problems import Problem, ProblemReason

SIGNATURE_HEADER = "X-Signature"
TOLERANCE_S = 300.0
WALL_FLOOR_S = 5.0
_MAX_HEADER = 1_024


class SignedRequest(NamedTuple):
    """What a signature is for; all as it was sent."""

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


def check_signature(
    header: str | None,
    request: SignedRequest,
    *,
    secret: bytes,
    clock: Clock,
    accepts_v1: Callable[[], bool],
) -> Signature:
    """Raises the problem `bad-signature` or `stale-signature`; the age is checked for valid signatures only."""
    stamp, v2, v1 = _parsed(header)
    if not v2 and not accepts_v1():
        raise Problem("bad-signature", f"v1 signatures are not accepted; {_FORM}")
    if v2:
        _check_key_is_unambiguous(request)
    signed = _v2_message(stamp, request) if v2 else stamp.encode() + b"." + request.body
    expected = hmac.new(secret, signed, hashlib.sha256).digest()
    hexadecimal = expected.hex().encode()
    if not any(hmac.compare_digest(hexadecimal, given.encode()) for given in v2 or v1):
        raise Problem("bad-signature", "the signature does not fit the request; sign exactly what is sent")
    age_s = abs(clock.now().timestamp() - float(stamp))
    if age_s > tolerance_s(clock):
        raise Problem(
            "stale-signature",
            f"signed {age_s:.0f} s from our clock, {tolerance_s(clock):.0f} s are tolerated",
        )
    return Signature("v2" if v2 else "v1", expected)


def tolerance_s(clock: Clock) -> float:
    """Five minutes of the clock; on an accelerated clock at least WALL_FLOOR_S of wall time."""
    return max(TOLERANCE_S, WALL_FLOOR_S / clock.wall_seconds(1.0))


_FORM = f"{SIGNATURE_HEADER} is of the form t=<unix>,v2=<hex sha256>"


def _parsed(header: str | None) -> tuple[str, list[str], list[str]]:
    """The time, and the signatures v2 and v1."""
    if header is None:
        raise Problem(
            "bad-signature", f"this utility signs its calls; the header {SIGNATURE_HEADER} is missing"
        )
    parts = [part.strip().partition("=") for part in header[:_MAX_HEADER].split(",")]
    stamps, v2, v1 = ([value for name, _, value in parts if name == wanted] for wanted in ("t", "v2", "v1"))
    if len(stamps) != 1 or not (v2 or v1) or not _is_unix_time(stamps[0]):
        raise Problem("bad-signature", f"not understood: {_FORM}")
    return stamps[0], v2, v1


def _is_unix_time(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def _v2_message(stamp: str, request: SignedRequest) -> bytes:
    body = hashlib.sha256(request.body).hexdigest().encode()
    return b".".join((stamp.encode(), request.method.encode(), request.target, request.idempotency_key, body))


def _check_key_is_unambiguous(request: SignedRequest) -> None:
    """With a full stop in the key, `/E-1` with the key `2.a` would be signed as `/E-1.2` with the key `a`."""
    if b"." in request.idempotency_key:
        detail = "with a v2 signature an Idempotency-Key holds no full stop; use another character"
        reason = ProblemReason(code="invalid_field", detail=detail, field="Idempotency-Key")
        raise Problem("invalid-request", detail, (reason,))
