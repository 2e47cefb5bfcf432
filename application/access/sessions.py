"""The tokens of sessions: `gps_<secret>`, 32 random bytes, of which the store has the SHA-256 alone."""

import base64
import hashlib

PREFIX = "gps_"
SECRET_BYTES = 32
TOKEN_LENGTH = len(PREFIX) + 43
LASTS_S = 8 * 3_600.0
MOST_OF_A_KEY = 1_000
"""Many people may sign in with one key; beyond this the oldest is signed out."""


def new_token(entropy: bytes) -> str:
    """Out of SECRET_BYTES random bytes."""
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"give {SECRET_BYTES} random bytes, not {len(entropy)}")
    return PREFIX + base64.urlsafe_b64encode(entropy).rstrip(b"=").decode()


def token_hash(token: str) -> bytes | None:
    """What a token is found by; None where it is no token of ours.

    A look-up by it tells nothing in time: whoever can choose a hash cannot choose the token that has it.
    """
    if len(token) != TOKEN_LENGTH or not token.startswith(PREFIX) or not token.isascii():
        return None
    return hashlib.sha256(token.encode()).digest()
