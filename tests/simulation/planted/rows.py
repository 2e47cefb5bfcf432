"""The planted bugs of open work: rows, heads, holders and places, each with one thing wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import takewhile
from typing import cast

from msgspec.structs import replace

from application.ports.dispatch.open_work import OpenWork, WorkKind
from interfaces.workers.dispatch.dispatch import DispatchWorker
from tests.fakes.dispatch.open_work import FakeOpenWork, Row
from tests.simulation.runtime.processes import Process
from tests.simulation.runtime.virtual_loop import OWNER

DIES_BETWEEN = 0.05
"""How often a process is killed between the events of a save and their rows."""


class DroppingRows(FakeOpenWork):
    def take_bms(self, holder: int, *, commands: int, checks: int) -> list[OpenWork]:
        taken = super().take_bms(holder, commands=commands, checks=checks)
        lost = [row for row in taken if row.position is not None and not row.number % 8]
        self.finish(lost)
        return [row for row in taken if row not in lost]


class FirstTryRows(FakeOpenWork):
    def take_bms(self, holder: int, *, commands: int, checks: int) -> list[OpenWork]:
        """With so few tries that no count of failures reaches the limit."""
        taken = super().take_bms(holder, commands=commands, checks=checks)
        return [replace(row, tries=-1_000_000) for row in taken]


class FinishingFirstRows(FakeOpenWork):
    def take_bms(self, holder: int, *, commands: int, checks: int) -> list[OpenWork]:
        taken = super().take_bms(holder, commands=commands, checks=checks)
        self.finish(taken)
        return taken


class SecondTransactionRows(FakeOpenWork):
    """Stores the rows of a save after its events. A process that dies in between stores none."""

    def add(self, intents: Iterable[tuple[WorkKind, str, int]]) -> None:
        rows = list(intents)
        process = cast("Process | None", OWNER.get())
        if process is not None and rows and self._random.random() < DIES_BETWEEN:
            process.kill()
        if process is None or not process.dead:
            super().add(rows)


class HeadlessRows(FakeOpenWork):
    """Of a building, the newest intent that is due can be taken, also behind one that is held or put off."""

    def _head(self, rows: Sequence[Row]) -> Row | None:
        due = [row for row in rows if self._is_due(row)]
        return max(due, key=lambda row: row.position or 0, default=None)


class LivingHoldersRows(FakeOpenWork):
    """Frees the rows of each holder, also of one that lives: as in the session of its own locks."""

    def free_dead_holders(self) -> int:
        return self._freed(row for row in self.rows.values() if row.holder is not None)


class QueueBlockingRows(FakeOpenWork):
    """Of a utility, nothing behind a callback that is put off can be taken, as if it were a building."""

    def take_callbacks(self, holder: int, *, at_most: int, at_once: int) -> list[OpenWork]:
        taken: list[Row] = []
        for rows in self._queues("callback"):
            free = max(0, at_once - sum(row.holder is not None for row in rows))
            first = takewhile(lambda row: row.holder is not None or self._is_due(row), rows)
            taken += [row for row in first if row.holder is None][:free]
        return self._taken(taken[:at_most], holder)


class OnePoolWorker(DispatchWorker):
    """Checks and commands share the places, and checks come first."""

    def _take(self, holder: int, in_hand: Collection[OpenWork]) -> list[OpenWork]:
        free = self.commands_in_hand - len(in_hand)
        checks = self.rows.take_bms(holder, commands=0, checks=free)
        return checks + self.rows.take_bms(holder, commands=free - len(checks), checks=0)
