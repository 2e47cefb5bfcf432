"""CallbackAddresses in memory; UtilityNotifier without a network: simulated utilities in this process get callbacks."""

from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from application.ports.callback import CallbackAccepted, CallbackAddressRefused, CallbackFailed, check_status
from application.ports.clock import Clock
from domain.administration import AdministrativeAct
from interfaces.simulators.utility import SimulatedUtility
from tests.webhook_signature import sign_v1


class FakeCallbackAddresses:
    """CallbackAddresses in memory."""

    def __init__(self) -> None:
        self.reads = 0
        """Look-ups of ids and URLs so far."""
        self.acts: list[AdministrativeAct] = []
        self._by_id: dict[UUID, tuple[str, str]] = {}

    def id_of(self, utility_id: str, url: str) -> UUID | None:
        self.reads += 1
        return next((one for one, of in self._by_id.items() if of == (utility_id, url)), None)

    def add(self, utility_id: str, url: str, *, drawn: UUID) -> UUID:
        existing = self.id_of(utility_id, url)
        if existing is None:
            self._by_id[drawn] = (utility_id, url)
        return existing or drawn

    def url_of(self, address_id: UUID) -> str | None:
        self.reads += 1
        return self._by_id.get(address_id, (None, None))[1]

    def forget(self, utility_id: str, act_of: Callable[[int], AdministrativeAct]) -> int:
        of_it = [one for one, (owner, _) in self._by_id.items() if owner == utility_id]
        for one in of_it:
            del self._by_id[one]
        if of_it:
            self.acts.append(act_of(len(of_it)))
        return len(of_it)


PlannedFault = Literal["time_out", "lost_answer", "refuse"]


class SentCallback(msgspec.Struct, frozen=True):
    """A call that reached the utility."""

    utility_id: str
    url: str
    body: str
    callback_id: UUID
    trace_id: str


class FakeUtilityNotifier:
    """`utilities` by the URL that they are called at; `fail_next` plans the faults of the next calls."""

    def __init__(
        self,
        utilities: Mapping[str, SimulatedUtility],
        *,
        clock: Clock,
        secret_of: Callable[[str], bytes | None],
        allow_private: bool = False,
    ) -> None:
        self._utilities = dict(utilities)
        self._clock = clock
        self._secret_of = secret_of
        self._allow_private = allow_private
        self._planned: list[PlannedFault] = []
        self.told: list[SentCallback] = []
        """Every call that reached a utility, in order, regardless of its answer."""

    def fail_next(self, *faults: PlannedFault) -> None:
        """One fault per call: nothing arrives, it arrives and the answer is lost, or the utility refuses."""
        self._planned += faults

    async def send(
        self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str
    ) -> CallbackAccepted:
        self._check(url)
        signature = self._signature(utility_id, body.encode())
        fault = self._planned.pop(0) if self._planned else None
        if url not in self._utilities or fault == "time_out":
            raise CallbackFailed("nobody answers")
        self.told.append(SentCallback(utility_id, url, body, callback_id, trace_id))
        if fault == "refuse":
            return check_status(404)
        status = await self._utilities[url].receive(body.encode(), signature)
        if fault == "lost_answer":
            raise CallbackFailed("the answer was lost")
        return check_status(status)

    async def aclose(self) -> None:
        self._utilities = {}

    def _check(self, url: str) -> None:
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise CallbackAddressRefused(f"it is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise CallbackAddressRefused("it is no address")
        if not self._allow_private and (parts.hostname == "localhost" or parts.hostname.startswith("127.")):
            raise CallbackAddressRefused("it is not a public address")

    def _signature(self, utility_id: str, body: bytes) -> str:
        try:
            secret = self._secret_of(utility_id)
        except ValueError as error:
            raise CallbackFailed(f"the secret cannot be had: {error}") from error
        return "" if secret is None else sign_v1(secret, body, at=self._clock.now())
