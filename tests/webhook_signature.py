"""The signatures that a utility puts on a webhook call, written independently of the code that checks them."""

import hashlib
import hmac
from datetime import datetime

WEBHOOK = "/webhooks/utility/dr-notification"


def sign(
    secret: bytes, body: bytes, *, at: datetime, method: str = "POST", target: str = WEBHOOK, key: str = ""
) -> str:
    """The value of `X-Signature` of a request signed at `at`; `key` is its `Idempotency-Key`."""
    stamp = str(int(at.timestamp()))
    message = f"{stamp}.{method}.{target}.{key}.{hashlib.sha256(body).hexdigest()}"
    return f"t={stamp},v2={hmac.new(secret, message.encode(), hashlib.sha256).hexdigest()}"


def sign_v1(secret: bytes, body: bytes, *, at: datetime) -> str:
    """The value of `X-Signature` of a callback: HMAC-SHA256 over `<t>.<body>`."""
    stamp = str(int(at.timestamp()))
    digest = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"
