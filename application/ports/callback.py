"""Telling a utility how its DR event goes, by a signed call to the address that it gave."""

from typing import Protocol
from uuid import UUID

import msgspec

RETRYABLE_STATUS = frozenset({408, 429})
"""Refusals that only mean "not now"."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The utility took the callback."""

    status_code: int


class CallbackRefused(Exception):
    """The utility answered that it does not want this; sending it again as it is would not help."""

    def __init__(self, status_code: int, detail: str = "") -> None:
        super().__init__(f"HTTP {status_code}{detail and f': {detail}'}")
        self.status_code = status_code


class CallbackAddressRefused(Exception):
    """We do not call that address: it is no HTTP address, or not a public one."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CallbackFailed(Exception):
    """Nobody knows whether the utility has it; send it again later, under the same callback id."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UtilityNotifier(Protocol):
    """Calls utilities. What a call carries is fixed: the body as recorded, the id, a signature, the trace."""

    async def tell(self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str) -> Told:
        """One call to `url`. Raises CallbackRefused, CallbackAddressRefused or CallbackFailed."""
        ...

    async def aclose(self) -> None: ...


def judged(status_code: int, detail: str = "") -> Told:
    """What the answer's status means. Raises CallbackRefused or CallbackFailed.

    A redirect is a refusal: following it would call an address that nobody gave us.
    """
    if 200 <= status_code < 300:
        return Told(status_code=status_code)
    if 300 <= status_code < 500 and status_code not in RETRYABLE_STATUS:
        raise CallbackRefused(status_code, detail)
    raise CallbackFailed(f"HTTP {status_code}{detail and f': {detail}'}")
