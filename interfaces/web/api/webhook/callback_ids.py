"""A cache of the ids of callback addresses: an address that was given before costs no look-up."""

import time
from collections.abc import Callable
from uuid import UUID, uuid4

from application.bounded_cache import BoundedCache
from application.ports.callback import CallbackAddresses

CACHED_S = 60.0
"""Also how long a notification may still get the id of an address that another process made forget."""
MAX_ENTRIES = 4_000


class CallbackIds:
    """Called from several threads."""

    def __init__(
        self,
        addresses: CallbackAddresses,
        *,
        draw: Callable[[], UUID] = uuid4,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = addresses
        self._draw = draw
        self._cached = BoundedCache[tuple[str, str], UUID](
            "callback ids", max_size=MAX_ENTRIES, ttl_s=CACHED_S, monotonic=monotonic
        )

    def of(self, utility_id: str, url: str, *, admit: Callable[[], None]) -> UUID:
        """The id of that address.

        `admit` is called for a new address, before it is added; what it raises refuses the address. Raises
        OperationsUnavailable.
        """
        cached = self._cached.get((utility_id, url))
        if cached is not None:
            return cached
        address_id = self._addresses.id_of(utility_id, url)
        if address_id is None:
            admit()
            address_id = self._addresses.add(utility_id, url, drawn=self._draw())
        self._cached.put((utility_id, url), address_id)
        return address_id
