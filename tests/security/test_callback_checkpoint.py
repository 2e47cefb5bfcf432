"""H6: callbacks carry number and digest of the newest checkpoint, so that utilities are witnesses of the ledger."""

from __future__ import annotations

import asyncio
import threading
from uuid import UUID

import pytest
from yarl import URL

from adapters.callback import HttpUtilityNotifier
from application.ledger.verification import verify_ledger
from application.ledger.witness import witness_from_reference
from application.ports.callback import CallbackAccepted
from application.ports.ledger.store import LedgerUnavailable
from interfaces.bootstrap.ledger import NEWEST_FOR_S, NewestCheckpoint
from tests.fakes.clock import FakeClock
from tests.fakes.ledger.store import FakeLedgerStore
from tests.patience import ANSWER_S
from tests.sealed_portfolio import SealedPortfolio, completed_dr_event

BODY = '{"kind":"started"}'


class RecordingNotifier(HttpUtilityNotifier):
    """Keeps the headers and the body of each call instead of sending it."""

    calls: list[tuple[bytes, dict[str, str]]]

    async def _post(self, target: URL, body: bytes, headers: dict[str, str]) -> CallbackAccepted:
        self.calls.append((body, headers))
        return CallbackAccepted(status_code=200)


def notifier(newest: NewestCheckpoint) -> RecordingNotifier:
    made = RecordingNotifier(
        clock=FakeClock(),
        secret_of=lambda utility: b"agreed",
        newest_checkpoint=newest,
        allow_private=True,
    )
    made.calls = []
    return made


def send(sender: HttpUtilityNotifier) -> None:
    asyncio.run(sender.send("util-1", "https://utility.example/callbacks", BODY, UUID(int=7), "0" * 32))


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class HangingStore(FakeLedgerStore):
    """A PostgreSQL that answers nothing until `answers` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.reads = 0

    def last_checkpoint_number(self) -> int:
        self.reads += 1
        self.answers.wait()
        return super().last_checkpoint_number()


class AwayStore(FakeLedgerStore):
    def last_checkpoint_number(self) -> int:
        raise LedgerUnavailable("away")


def two_checkpoints() -> SealedPortfolio:
    portfolio = completed_dr_event()
    portfolio.store.logs["demand-response"].clear()
    return portfolio


def test_each_delivery_carries_the_newest_checkpoint_beside_the_recorded_body() -> None:
    portfolio, elapsed = two_checkpoints(), Seconds()
    sender = notifier(NewestCheckpoint(portfolio.store, elapsed))
    send(sender)
    portfolio.record(portfolio.rows()[20].position)
    first = portfolio.seal().checkpoint
    elapsed.now += NEWEST_FOR_S
    send(sender)
    portfolio.record()
    second = portfolio.seal().checkpoint
    send(sender)
    elapsed.now += NEWEST_FOR_S
    send(sender)
    bodies, headers = zip(*sender.calls, strict=True)
    assert set(bodies) == {BODY.encode()}
    assert len({header["X-Signature"] for header in headers}) == 1, "the signature is over time and body"
    assert [header.get("X-Ledger-Checkpoint") for header in headers] == [
        None,
        f"1:{first.digest()}",
        f"1:{first.digest()}",
        f"2:{second.digest()}",
    ]


def test_the_reference_of_a_callback_is_compared_with_the_ledger() -> None:
    portfolio = completed_dr_event()
    portfolio.seal()
    reference = NewestCheckpoint(portfolio.store)()
    assert reference is not None
    witness = witness_from_reference(reference)
    assert witness is not None
    key = portfolio.signer.public_key
    assert verify_ledger(portfolio.store, portfolio.archive, key, witness=witness).verified
    other = witness_from_reference(f"{witness.number}:{'0' * 64}")
    (finding,) = verify_ledger(portfolio.store, portfolio.archive, key, witness=other).findings
    assert finding.kind == "fork"


def test_a_callback_does_not_wait_for_the_ledger() -> None:
    sender = notifier(NewestCheckpoint(AwayStore()))
    send(sender)
    ((_, headers),) = sender.calls
    assert "X-Ledger-Checkpoint" not in headers


def test_callbacks_are_sent_while_the_ledger_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One read at a time, for which no callback waits long: the others carry what was read before."""
    monkeypatch.setattr("adapters.callback.CHECKPOINT_WITHIN_S", 0.1)
    store, portfolio = HangingStore(), completed_dr_event()
    portfolio.seal()
    store.checkpoints = portfolio.store.checkpoints
    newest = NewestCheckpoint(store, Seconds())
    sender = notifier(newest)

    async def send_many() -> None:
        calls = [
            sender.send("util-1", "https://utility.example/callbacks", BODY, UUID(int=number), "0" * 32)
            for number in range(100)
        ]
        try:
            await asyncio.wait_for(asyncio.gather(*calls), ANSWER_S)
        finally:
            store.answers.set()

    asyncio.run(send_many())
    assert len(sender.calls) == 100
    assert all("X-Ledger-Checkpoint" not in headers for _, headers in sender.calls)
    assert store.reads == 1
    assert newest() is not None, "the read that hung has ended"
    assert store.reads == 1


def test_a_slow_read_is_not_repeated_at_once() -> None:
    elapsed = Seconds()

    class SlowStore(HangingStore):
        def last_checkpoint_number(self) -> int:
            elapsed.now += 5 * NEWEST_FOR_S
            return super().last_checkpoint_number()

    slow = SlowStore()
    slow.answers.set()
    newest = NewestCheckpoint(slow, elapsed)
    assert [newest(), newest()] == [None, None]
    assert slow.reads == 1
