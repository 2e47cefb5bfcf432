"""The tag of a body: a hash of its content, which names it in caches, here and at the caller (`ETag`)."""

from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b

MAX_TAGS = 16
MAX_TAGGED_BYTES = 1_000_000
"""The tag of a longer body is not cached: the cache would keep the whole body."""


def tag_of(body: bytes) -> bytes:
    """Weak, since the compressed and the plain form have the same one."""
    return _cached_tag_of(body) if len(body) <= MAX_TAGGED_BYTES else _tag_of(body)


@lru_cache(maxsize=MAX_TAGS)
def _cached_tag_of(body: bytes) -> bytes:
    """Python caches the hash of the bytes object: a response that many callers share is hashed once."""
    return _tag_of(body)


def _tag_of(body: bytes) -> bytes:
    return b'W/"' + urlsafe_b64encode(blake2b(body, digest_size=15).digest()) + b'"'
