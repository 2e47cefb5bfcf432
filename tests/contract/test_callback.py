"""The contract of UtilityNotifier: the HTTP one and the fake, against the simulated utility."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from adapters.callback import HttpUtilityNotifier
from application.ports.callback import (
    CallbackAccepted,
    CallbackAddressRefused,
    CallbackFailed,
    CallbackRefused,
    UtilityNotifier,
)
from interfaces.simulators.http_host import hosted
from interfaces.simulators.journal import Journal, read_journal
from interfaces.simulators.utility import (
    ReceivedCallback,
    SimulatedUtility,
    UtilityFaults,
    create_utility_app,
)
from tests.fakes.callback import FakeUtilityNotifier

NOW = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
SECRET = b"shared with city-power"
BODY = '{"kind":"started","dr_event_id":"42"}'
CALLBACK_ID = UUID(int=7)
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@dataclass(frozen=True)
class CallbackClock:
    speed: float = 1.0

    def now(self) -> datetime:
        return NOW

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / self.speed


def secret_of(utility_id: str) -> bytes | None:
    if utility_id == "broken":
        raise ValueError("the secret env:GRIDPROOF_SECRET_CITY is not in the environment")
    return {"city-power": SECRET, "impostor": b"another"}.get(utility_id)


@dataclass(frozen=True)
class CallbackRig:
    notifier: UtilityNotifier
    url: str
    journal: Path

    async def send(
        self, utility_id: str = "city-power", *, url: str = "", body: str = BODY
    ) -> CallbackAccepted:
        return await self.notifier.send(utility_id, url or self.url, body, CALLBACK_ID, TRACE_ID)

    @property
    def received(self) -> list[ReceivedCallback]:
        return read_journal(self.journal, ReceivedCallback)


@dataclass(frozen=True)
class Rigs:
    kind: str
    folder: Path

    def run(
        self,
        scenario: Callable[[CallbackRig], Awaitable[None]],
        *,
        faults: UtilityFaults | None = None,
        secret: bytes | None = SECRET,
        allow_private: bool = True,
        speed: float = 1.0,
    ) -> None:
        async def whole() -> None:
            async with self._opened(faults, secret, allow_private, CallbackClock(speed)) as rig:
                await scenario(rig)

        asyncio.run(whole())

    @asynccontextmanager
    async def _opened(
        self, faults: UtilityFaults | None, secret: bytes | None, allow_private: bool, clock: CallbackClock
    ) -> AsyncIterator[CallbackRig]:
        path = self.folder / "callbacks.jsonl"
        journal = Journal(path)
        utility = SimulatedUtility(clock=clock, journal=journal, secret=secret, faults=faults)
        notifier: UtilityNotifier
        if self.kind == "fake":
            url = "http://127.0.0.1:9/callbacks"
            notifier = FakeUtilityNotifier(
                {url: utility}, clock=clock, secret_of=secret_of, allow_private=allow_private
            )
            yield CallbackRig(notifier, url, path)
        else:
            async with hosted(create_utility_app(utility), "127.0.0.1:0") as root:
                notifier = HttpUtilityNotifier(
                    clock=clock, secret_of=secret_of, allow_private=allow_private, ports=range(1, 65_536)
                )
                yield CallbackRig(notifier, f"{root}/callbacks", path)
                await notifier.aclose()
        journal.close()


@pytest.fixture(params=["fake", "http"])
def rigs(request: pytest.FixtureRequest, tmp_path: Path) -> Rigs:
    return Rigs(request.param, tmp_path)


def test_a_utility_receives_the_body_as_recorded(rigs: Rigs) -> None:
    async def scenario(rig: CallbackRig) -> None:
        assert await rig.send() == CallbackAccepted(status_code=200)
        [callback] = rig.received
        assert (callback.kind, callback.dr_event_id) == ("started", "42")

    rigs.run(scenario)


def test_a_callback_is_signed_with_the_time_of_the_clock(rigs: Rigs) -> None:
    async def scenario(rig: CallbackRig) -> None:
        await rig.send()
        [callback] = rig.received
        assert (callback.signature_ok, callback.signature_age_s) == (True, 0.0)

    rigs.run(scenario)


def test_a_wrong_secret_is_a_definite_refusal(rigs: Rigs) -> None:
    async def scenario(rig: CallbackRig) -> None:
        with pytest.raises(CallbackRefused) as refused:
            await rig.send("impostor")
        assert refused.value.status_code == 401

    rigs.run(scenario)


def test_a_utility_without_a_secret_is_called_unsigned(rigs: Rigs) -> None:
    async def scenario(rig: CallbackRig) -> None:
        assert await rig.send("old-power") == CallbackAccepted(status_code=200)

    rigs.run(scenario, secret=None)


def test_an_unavailable_secret_is_a_failure_to_retry(rigs: Rigs) -> None:
    async def scenario(rig: CallbackRig) -> None:
        with pytest.raises(CallbackFailed, match="secret"):
            await rig.send("broken")
        assert rig.received == []

    rigs.run(scenario)


def test_a_failing_utility_is_called_again(rigs: Rigs) -> None:
    async def scenario(rig: CallbackRig) -> None:
        with pytest.raises(CallbackFailed, match="HTTP 503"):
            await rig.send()
        assert await rig.send() == CallbackAccepted(status_code=200)
        assert [callback.status for callback in rig.received] == [503, 200]

    rigs.run(scenario, faults=UtilityFaults(fail_first=1))


def test_a_body_that_is_not_an_object_is_refused(rigs: Rigs) -> None:
    async def scenario(rig: CallbackRig) -> None:
        with pytest.raises(CallbackRefused) as refused:
            await rig.send(body="[]")
        assert refused.value.status_code == 400

    rigs.run(scenario)


def test_an_unreachable_address_is_a_failure_to_retry(rigs: Rigs) -> None:
    async def scenario(rig: CallbackRig) -> None:
        with pytest.raises(CallbackFailed):
            await rig.send(url="http://127.0.0.1:1/callbacks")

    rigs.run(scenario)


@pytest.mark.parametrize(
    "address", ["ftp://127.0.0.1/x", "127.0.0.1/x", "http://", "http://me:pw@127.0.0.1/x", "http://[::1/x"]
)
def test_an_address_that_is_not_http_is_refused(rigs: Rigs, address: str) -> None:
    async def scenario(rig: CallbackRig) -> None:
        with pytest.raises(CallbackAddressRefused):
            await rig.send(url=address)
        assert rig.received == []

    rigs.run(scenario)


def test_a_private_address_is_refused_unless_allowed(rigs: Rigs) -> None:
    async def scenario(rig: CallbackRig) -> None:
        with pytest.raises(CallbackAddressRefused):
            await rig.send()
        with pytest.raises(CallbackAddressRefused):
            await rig.send(url=rig.url.replace("127.0.0.1", "localhost"))
        assert rig.received == []

    rigs.run(scenario, allow_private=False)
