"""The signature that a utility puts on a webhook call, written independently of the code that checks it."""

import hashlib
import hmac
from datetime import datetime


def sign(secret: bytes, body: bytes, *, at: datetime) -> str:
    """The value of `X-Signature` for `body` signed at `at`: HMAC-SHA256 over `<t>.<body>`."""
    stamp = str(int(at.timestamp()))
    digest = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"
