"""Session tokens: `gps_<secret>` with 32 random bytes. The store holds only the SHA-256."""

import base64
import hashlib

PREFIX = "gps_"
SECRET_BYTES = 32
TOKEN_LENGTH = len(PREFIX) + 43
LASTS_S = 8 * 3_600.0
MAX_SESSIONS_PER_KEY = 1_000
"""Many people may sign in with one key. Beyond this number the oldest session ends."""


def new_token(entropy: bytes) -> str:
    """A new token from SECRET_BYTES random bytes."""
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"give {SECRET_BYTES} random bytes, not {len(entropy)}")
    return PREFIX + base64.urlsafe_b64encode(entropy).rstrip(b"=").decode()


def token_hash(token: str) -> bytes | None:
    """The hash that a token is looked up by; None where it is not a token of this format.

    The look-up leaks nothing by its timing: a caller who can choose a hash cannot choose the token that has
    it.
    """
    if len(token) != TOKEN_LENGTH or not token.startswith(PREFIX) or not token.isascii():
        return None
    return hashlib.sha256(token.encode()).digest()
