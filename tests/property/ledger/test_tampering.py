"""Every change in the sealed part of either log is reported at its position, and nothing else is.

The attacker has all rights in the database, and may recreate the ledger's table over the forged log. The
attacker has no rights in the archive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from application.ledger.sealing import Sealer, follow
from application.ledger.verification import verify_ledger
from application.ledger.verification_report import Finding, LedgerReport
from domain.ledger.entries import LOGS, LogRow
from tests.fakes.archive import FakeArchive
from tests.fakes.clock import FakeClock
from tests.fakes.ledger.signer import FakeCheckpointSigner
from tests.fakes.ledger.store import FakeLedgerStore
from tests.sizes import examples

SIGNER = FakeCheckpointSigner()
OF_DOMAIN_EVENTS = {"changed", "removed", "inserted", "moved"}


def row(position: int, said: str = "{}") -> LogRow:
    return LogRow(
        position=position,
        originator_id=UUID(int=1_000 + position),
        originator_version=1,
        topic="dr-event.made-up.v1",
        state=said.encode(),
    )


@dataclass
class Sealed:
    """Both logs in several checkpoints, and a tail that is not sealed."""

    store: FakeLedgerStore
    archive: FakeArchive
    sealed_to: dict[str, int]

    def verify(self) -> LedgerReport:
        return verify_ledger(self.store, self.archive, SIGNER.public_key, logs=LOGS)

    def rows(self, log: str) -> dict[int, LogRow]:
        return self.store.logs[log]

    def make_the_table_anew(self, log: str) -> None:
        self.store.table[log] = b"".join(
            self.rows(log)[position].entry() for position in sorted(self.rows(log))
        )


@st.composite
def sealed_logs(draw: st.DrawFn) -> Sealed:
    store, archive = FakeLedgerStore(), FakeArchive()
    sealer = Sealer(store, archive, SIGNER, FakeClock())
    positions = dict.fromkeys(LOGS, 0)
    sealed_to = dict.fromkeys(LOGS, 0)
    checkpoints = draw(st.integers(1, 4))
    for number in range(checkpoints + 1):
        for log in LOGS:
            for gap in draw(st.lists(st.integers(1, 4), min_size=1, max_size=6)):
                positions[log] += gap
                store.record(log, row(positions[log]))
            while follow(store, log, 3):
                pass
        if number < checkpoints:
            assert sealer.seal() is not None
            sealed_to = dict(positions)
    return Sealed(store, archive, sealed_to)


def tamper(draw: Callable[..., Any], ledger: Sealed, log: str) -> set[tuple[str, int]]:
    """Some changes in the log; (kind, position) of each. At most one per position."""
    rows, done = ledger.rows(log), set[tuple[str, int]]()
    last = max(rows)
    touched: set[int] = set()
    for _ in range(draw(st.integers(0, 4))):
        free = sorted(set(range(-2, last + 1)) - touched)
        position = draw(st.sampled_from(free))
        touched.add(position)
        if position not in rows:
            rows[position] = row(position, '{"inserted":true}')
            done.add(("inserted", position))
        elif draw(st.booleans()) and len(rows) > 1 and position != last:
            del rows[position]
            done.add(("removed", position))
        else:
            field, value = draw(
                st.sampled_from(
                    [
                        ("state", b'{"forged":1}'),
                        ("topic", "dr-event.other.v1"),
                        ("originator_version", 2),
                        ("originator_id", UUID(int=2**100)),
                    ]
                )
            )
            rows[position] = msgspec.structs.replace(rows[position], **{field: value})
            done.add(("changed", position))
    return done


def differences_in(report: LedgerReport, log: str) -> set[tuple[str, int | None]]:
    return {(found.kind, found.position) for found in of_domain_events(report) if found.log == log}


def of_domain_events(report: LedgerReport) -> list[Finding]:
    return [found for found in report.findings if found.kind in OF_DOMAIN_EVENTS]


@given(st.data())
@settings(max_examples=examples(300), deadline=None)
def test_exactly_the_changed_positions_are_reported(data: st.DataObject) -> None:
    ledger = data.draw(sealed_logs())
    assert ledger.verify().findings == ()
    wanted: dict[str, set[tuple[str, int]]] = {}
    for log in LOGS:
        done = tamper(data.draw, ledger, log)
        in_sealed_part = {(kind, position) for kind, position in done if position <= ledger.sealed_to[log]}
        if data.draw(st.booleans(), label=f"the table of {log} is made anew"):
            ledger.make_the_table_anew(log)
            wanted[log] = in_sealed_part  # The tail is recorded in the table only.
        else:
            wanted[log] = done
    report = ledger.verify()
    for log in LOGS:
        assert differences_in(report, log) == wanted[log]
    assert len(of_domain_events(report)) == sum(map(len, wanted.values())), "each difference is reported once"
    for told in report.logs:
        after = [position for position in ledger.rows(told.log) if position > told.sealed_to]
        assert told.unsealed == len(after), "rows after the last checkpoint are counted as unsealed"


@given(st.data())
@settings(max_examples=examples(150), deadline=None)
def test_two_swapped_rows_are_reported_at_both_positions(data: st.DataObject) -> None:
    ledger = data.draw(sealed_logs())
    log = data.draw(st.sampled_from(LOGS))
    rows = ledger.rows(log)
    sealed = sorted(position for position in rows if position <= ledger.sealed_to[log])
    if len(sealed) < 2:
        return
    one, other = data.draw(st.sampled_from(sealed)), data.draw(st.sampled_from(sealed))
    if one == other:
        return
    rows[one], rows[other] = (
        msgspec.structs.replace(rows[other], position=one),
        msgspec.structs.replace(rows[one], position=other),
    )
    if data.draw(st.booleans()):
        ledger.make_the_table_anew(log)
    report = ledger.verify()
    assert differences_in(report, log) == {("moved", one), ("moved", other)}


@given(st.data())
@settings(max_examples=examples(150), deadline=None)
def test_without_tiles_a_change_is_reported_by_its_interval(data: st.DataObject) -> None:
    ledger = data.draw(sealed_logs())
    log = data.draw(st.sampled_from(LOGS))
    tiles = [name for name in ledger.archive.files if name.startswith(f"ledger/tiles/{log}/")]
    for name in tiles:
        del ledger.archive.files[name]
    report = ledger.verify()
    assert not report.verified
    assert of_domain_events(report) == [], "no difference is reported: the rows give the signed roots"
    assert {found.kind for found in report.findings} == {"tile"}

    sealed = [position for position in ledger.rows(log) if position <= ledger.sealed_to[log]]
    position = data.draw(st.sampled_from(sorted(sealed)))
    ledger.rows(log)[position] = row(position, '{"forged":1}')
    ledger.make_the_table_anew(log)
    intervals = [found for found in ledger.verify().findings if found.kind == "interval"]
    assert len(intervals) == 1, "the intervals of the other checkpoints give their roots"
    (found,) = intervals
    assert found.log == log
    assert found.position is not None
    assert found.through is not None
    assert found.position <= position <= found.through
