"""The HMAC secrets of utilities, looked up by reference and remembered for a few seconds."""

import threading
import time
from collections.abc import Callable

from application.ports.facility import Utilities

REMEMBERED_S = 5.0
MOST_REMEMBERED = 1_000


class WebhookSecrets:
    """Called from several threads. Only utilities whose key was genuine are asked for, so there are few."""

    def __init__(
        self,
        utilities: Utilities,
        resolve: Callable[[str], bytes],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._utilities = utilities
        self._resolve = resolve
        self._monotonic = monotonic
        self._remembered: dict[str, tuple[float, bytes | None]] = {}
        self._lock = threading.Lock()

    def of(self, utility_id: str) -> bytes | None:
        """The secret; None where the utility does not sign.

        Raises OperationsUnavailable, or ValueError (SecretError) when the secret cannot be had. A utility that is not
        in the portfolio (yet) has none.
        """
        with self._lock:
            known = self._remembered.get(utility_id)
        if known is not None and self._monotonic() < known[0]:
            return known[1]
        entry = self._utilities.find(utility_id)
        reference = None if entry is None else entry.webhook_secret_ref
        secret = None if reference is None else self._resolve(reference)
        with self._lock:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[utility_id] = (self._monotonic() + REMEMBERED_S, secret)
        return secret
