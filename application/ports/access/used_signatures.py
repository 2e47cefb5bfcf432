"""Memory of the signatures of webhook calls, so that each is used for one request."""

from typing import Protocol

KEPT_S = 660.0
"""Wall seconds. A signature is accepted from 5 minutes before its time to 5 minutes after it, by the clocks of the web
processes, which may differ from each other and from the store's.
"""


class UsedSignatures(Protocol):
    """Shared by all web processes (synchronous)."""

    def claim(self, utility_id: str, signature: bytes, request: bytes) -> bool:
        """Whether `signature` is new, or was claimed for the same `request` (both 32 bytes) in the last KEPT_S.

        The first request claims it, also if it is refused later. Raises OperationsUnavailable.
        """
        ...
