"""The callback port: report the state of a DR event to its utility by a signed call to the address it gave."""

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

import msgspec

from domain.administration import AdministrativeAct

RETRYABLE_STATUS = frozenset({408, 429})
"""Refusals that are worth a retry."""


class CallbackAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The utility accepted the callback."""

    status_code: int


class CallbackError(Exception):
    """`reason` names the kind of failure and is recorded. `detail` may hold text of another host, for operators only:
    a utility that could read it could read the answers of any host that we reach."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class CallbackRefused(CallbackError):
    """The utility refused the callback. Sending the same callback again would not help."""

    def __init__(self, status_code: int, detail: str = "") -> None:
        super().__init__(f"HTTP {status_code}", detail)
        self.status_code = status_code


class CallbackAddressRefused(CallbackError):
    """The address is not called: it is not an HTTP address, or not a public one."""


class CallbackFailed(CallbackError):
    """It is unknown whether the utility received the callback. Send it again later under the same callback
    id."""


class CallbackAddresses(Protocol):
    """The addresses that utilities gave for callbacks, beside the log, which holds only their ids. Each has one id.

    Synchronous. Every method raises OperationsUnavailable.
    """

    def id_of(self, utility_id: str, url: str) -> UUID | None:
        """None: the address is not known, or was forgotten."""
        ...

    def add(self, utility_id: str, url: str, *, drawn: UUID) -> UUID:
        """The id of that address: `drawn`, if it is a new one."""
        ...

    def url_of(self, address_id: UUID) -> str | None:
        """None: it was forgotten."""
        ...

    def forget(self, utility_id: str, act_of: Callable[[int], AdministrativeAct]) -> int:
        """Delete all addresses of that utility and record the act of as many; none records none. Returns how many."""
        ...


class UtilityNotifier(Protocol):
    """Calls utilities. A call carries the body as recorded, the callback id, a signature and the trace."""

    async def send(
        self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str
    ) -> CallbackAccepted:
        """Send one call to `url`. Raises CallbackRefused, CallbackAddressRefused or CallbackFailed."""
        ...

    async def aclose(self) -> None: ...


def check_status(status_code: int, detail: str = "") -> CallbackAccepted:
    """Judge the status code of the response. Raises CallbackRefused or CallbackFailed.

    A redirect counts as a refusal: following it would call an address that the utility did not give.
    """
    if 200 <= status_code < 300:
        return CallbackAccepted(status_code=status_code)
    if 300 <= status_code < 500 and status_code not in RETRYABLE_STATUS:
        raise CallbackRefused(status_code, detail)
    raise CallbackFailed(f"HTTP {status_code}", detail)
