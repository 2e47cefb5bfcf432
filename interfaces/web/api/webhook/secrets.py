"""A cache of the HMAC secrets of utilities, looked up by reference."""

import time
from collections.abc import Callable
from typing import NamedTuple

from application.bounded_cache import BoundedCache
from application.ports.facility import Utilities

CACHED_S = 5.0
MAX_ENTRIES = 1_000


class _Cached(NamedTuple):
    secret: bytes | None


class WebhookSecrets:
    """Called from several threads. Only authenticated utilities are looked up, so there are few entries."""

    def __init__(
        self,
        utilities: Utilities,
        resolve: Callable[[str], bytes],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._utilities = utilities
        self._resolve = resolve
        self._cached = BoundedCache[str, _Cached](
            "webhook secrets", max_size=MAX_ENTRIES, ttl_s=CACHED_S, monotonic=monotonic
        )

    def of(self, utility_id: str) -> bytes | None:
        """The secret; None if the utility does not sign, or is not in the portfolio.

        Raises OperationsUnavailable, or ValueError (SecretError) if the secret cannot be resolved.
        """
        cached = self._cached.get(utility_id)
        if cached is not None:
            return cached.secret
        entry = self._utilities.find(utility_id)
        reference = None if entry is None else entry.webhook_secret_ref
        found = _Cached(None if reference is None else self._resolve(reference))
        self._cached.put(utility_id, found)
        return found.secret
