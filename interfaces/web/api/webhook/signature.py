"""HMAC signatures of webhook calls: `X-Signature: t=<unix>,v1=<hex sha256>` over `<t>.<body>`.

A header may contain several `v1`, so that a utility can change its secret without a gap.
"""

import hashlib
import hmac

from application.ports.clock import Clock
from interfaces.web.problems import Problem

SIGNATURE_HEADER = "X-Signature"
TOLERANCE_S = 300.0
WALL_FLOOR_S = 5.0
_MAX_HEADER = 1_024


def check_signature(header: str | None, body: bytes, *, secret: bytes, clock: Clock) -> None:
    """Raises the problem `bad-signature` or `stale-signature`; the age is checked for valid signatures only."""
    stamp, signatures = _parsed(header)
    expected = _digest(secret, stamp, body)
    if not any(hmac.compare_digest(expected.encode(), given.encode()) for given in signatures):
        raise Problem("bad-signature", "the signature does not fit the body; sign exactly the bytes sent")
    age_s = abs(clock.now().timestamp() - float(stamp))
    if age_s > tolerance_s(clock):
        raise Problem(
            "stale-signature",
            f"signed {age_s:.0f} s from our clock, {tolerance_s(clock):.0f} s are tolerated",
        )


def tolerance_s(clock: Clock) -> float:
    """Five minutes of the clock; on an accelerated clock at least WALL_FLOOR_S of wall time."""
    return max(TOLERANCE_S, WALL_FLOOR_S / clock.wall_seconds(1.0))


def _parsed(header: str | None) -> tuple[str, list[str]]:
    if header is None:
        raise Problem(
            "bad-signature", f"this utility signs its calls; the header {SIGNATURE_HEADER} is missing"
        )
    parts = [part.strip().partition("=") for part in header[:_MAX_HEADER].split(",")]
    stamps = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"]
    if len(stamps) != 1 or not signatures or not _is_unix_time(stamps[0]):
        raise Problem("bad-signature", f"{SIGNATURE_HEADER} is not of the form t=<unix>,v1=<hex sha256>")
    return stamps[0], signatures


def _is_unix_time(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def _digest(secret: bytes, stamp: str, body: bytes) -> str:
    return hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
