"""A cache of the HMAC secrets of utilities, looked up by reference, and of the versions that they may sign with."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from application.bounded_cache import BoundedCache
from application.ports.facility import Utilities

CACHED_S = 5.0
MAX_ENTRIES = 1_000


class _Signing(NamedTuple):
    secret: bytes | None
    v1_until: datetime | None


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
        self._cached = BoundedCache[str, _Signing](
            "webhook secrets", max_size=MAX_ENTRIES, ttl_s=CACHED_S, monotonic=monotonic
        )

    def of(self, utility_id: str) -> bytes | None:
        """The secret; None if the utility does not sign, or is not in the portfolio.

        Raises OperationsUnavailable, or ValueError (SecretError) if the secret cannot be resolved.
        """
        return self._signing(utility_id).secret

    def accepts_v1(self, utility_id: str, now: datetime) -> bool:
        """Whether the utility may sign with v1 at that time. Raises as `of`."""
        until = self._signing(utility_id).v1_until
        return until is not None and now < until

    def _signing(self, utility_id: str) -> _Signing:
        cached = self._cached.get(utility_id)
        if cached is not None:
            return cached
        entry = self._utilities.find(utility_id)
        reference = None if entry is None else entry.webhook_secret_ref
        signing = _Signing(
            secret=None if reference is None else self._resolve(reference),
            v1_until=None if entry is None else entry.webhook_v1_until,
        )
        self._cached.put(utility_id, signing)
        return signing
