"""Runs one outage and compares the responses before, during and after it with the table."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

from tests.acceptance.degradation.answers import Answer, grows, word_of
from tests.acceptance.degradation.callers import Callers, RepeatedRequest
from tests.acceptance.degradation.degradation_table import COLUMNS, FRESH, OF_READ_MODELS, OUT_OF_THEM, ROWS
from tests.acceptance.degradation.outages import System, shown

WITHIN_S = 240.0
OBSERVED_S = 1.0
LEAST = 3
"""The minimum number of responses per request after they match the table."""
SAID_WHEN_BUSY = {
    **{key: {"last_known"} for key in ("current", "history")},
    **{key: {"read_models", "last_known"} for key in OUT_OF_THEM},
    "forecasts": {"old"},
    "operations": {"parts"},
    "ready": {"degraded", "not_ready"},
}
"""Correct responses of a busy host: after a time-out of the store or a probe (2 s), or of a part (3 s), and while
`project` or `compute`, short of processor time, is behind the log or its cycle. Each is labelled; only lasting
responses are checked."""
NO_NEW_FORECASTS = ("PostgreSQL", "PostgreSQL, with a replica")
"""After the recovery the newest forecast may be old until the next one."""
CATCHES_UP = ("the replica", "PostgreSQL, with a replica")
"""After the recovery of either server the replica lags for a moment, and reports a lag above 5 s."""
MAY_BREAK_OFF = "a web process"
"""Its callers get connection errors for a moment and use the next URL."""


@dataclass
class Outage:
    """The result of one row's outage. Times are on the test's monotonic clock."""

    row: str
    callers: Callers
    killed_at: float
    settled_at: float
    """From then on all responses match the table."""
    started_at: float
    """The time of the restart."""
    fresh_at: float
    """By then all responses were normal again."""
    missed: list[int]
    """Log positions that the stream client missed or received more than once."""
    screen_words: list[str]
    reconnections: int
    """The number of reconnections of the stream client."""

    def check(self, column: str) -> None:
        """Raises AssertionError if the responses differ from the table's cell."""
        word = ROWS[self.row][column]
        if column == "stream":
            assert self.screen_words == [word, "fresh"], "during the outage, and after it"
            assert self.missed == []
            assert bool(self.reconnections) == (self.row == MAY_BREAK_OFF)
            return
        for one in self.callers.of(column):
            during = one.since(self.killed_at)
            settled = _last_answer(one.since(self.settled_at), column, word)
            settled = [answer for answer in settled if answer.got_at <= self.started_at]
            if word == "ages":  # readings in flight at the kill may arrive late
                settled = [answer for answer in settled if answer.measured_at == settled[-1].measured_at]
            allowed = {"fresh" if word == "ages" else word, FRESH[column]}
            old = self._grown_old(one, during)
            found = {
                said.word
                for said in _last_answer(during, column, word)
                if said not in old
                and not self._is_breaking_off(said)
                and not self._is_catching_up(said, column)
            }
            assert found <= allowed, f"{one.method} {one.path}: {found - allowed}\n{shown(during)}"
            assert len(settled) >= LEAST, f"{one.method} {one.path}\n{shown(during)}"
            assert word_of(settled) == word, f"{one.method} {one.path}\n{shown(settled)}"
            if word in {"last_known", "read_models", "replica", "ages", "old"}:
                assert grows(settled), [answer.age_s for answer in settled]
            back = [answer for answer in one.since(self.started_at) if answer.got_at <= self.fresh_at]
            after = _last_answer(back, column, FRESH[column])[-LEAST:]
            assert word_of(after) == FRESH[column], shown(one.answers)

    def _grown_old(self, one: RepeatedRequest, during: list[Answer]) -> list[Answer]:
        """Old forecasts after the recovery, before the first new one."""
        if one.column != "forecasts" or self.row not in NO_NEW_FORECASTS:
            return []
        back = (answer for answer in during if answer.got_at > self.started_at)
        until_new = itertools.takewhile(lambda answer: answer.word != "fresh", back)
        return [answer for answer in until_new if answer.word == "old"]

    def _is_catching_up(self, answer: Answer, column: str) -> bool:
        back = self.row in CATCHES_UP and answer.got_at > self.started_at
        return back and column in (*OF_READ_MODELS, "forecasts") and answer.word == "replica"

    def _is_breaking_off(self, answer: Answer) -> bool:
        return self.row == MAY_BREAK_OFF and answer.status == 0


def outage(system: System, callers: Callers, row: str, *, observed_s: float = OBSERVED_S) -> Outage:
    """Kill the dependency under load, observe, restart it, and wait for normal responses."""
    _until(callers, FRESH, system, since=0.0)
    update = callers.subscriber.parsed
    known, began = len(update.positions()), int(update.last_event_id)
    connected = len(callers.subscriber.connections)
    dependency = system.away = system.dependencies[row]
    killed_at = time.monotonic()
    dependency.kill()
    settled_at = _until(callers, ROWS[row], system)
    _observe(callers, row, settled_at, observed_s)
    word_away = callers.subscriber.word
    started_at = time.monotonic()
    dependency.start()
    system.away = None
    fresh_at = _until(callers, FRESH, system)
    expected = system.positions_after(began)
    head = max(expected, default=began)
    system.until(lambda: int(update.last_event_id) >= head, "who watches hears of everything")
    received = [position for position in update.positions()[known:] if began < position <= head]
    missed = sorted(set(expected) ^ set(received)) + [at for at in set(received) if received.count(at) > 1]
    words = [word_away, callers.subscriber.word]
    again = len(callers.subscriber.connections) - connected
    return Outage(row, callers, killed_at, settled_at, started_at, fresh_at, missed, words, again)


def _until(callers: Callers, words: dict[str, str], system: System, *, since: float | None = None) -> float:
    """Wait until the newest responses are these; returns the time. On a time-out the cell checks report the difference.

    Counts responses to requests sent from now on, or from `since`.
    """
    began = time.monotonic()
    since = began if since is None else since
    while time.monotonic() - began < WITHIN_S:
        if all(_says(callers, column, words[column], since) for column in COLUMNS):
            break
        system.revive()
        time.sleep(0.1)
    return time.monotonic()


def _says(callers: Callers, column: str, word: str, since: float) -> bool:
    if column == "stream":
        return callers.subscriber.word == word
    newest = [_last_answer(one.since(since), column, word)[-LEAST:] for one in callers.of(column)]
    return all(len(answers) == LEAST and word_of(answers) == word for answers in newest)


def _last_answer(answers: list[Answer], column: str, word: str) -> list[Answer]:
    """The responses without those that only show a busy machine, unless `word` is one of these."""
    busy = SAID_WHEN_BUSY.get(column, set()) - {word}
    return [answer for answer in answers if answer.word not in busy]


def _observe(callers: Callers, row: str, since: float, observed_s: float) -> None:
    """Observe for a time, and until every caller has enough responses and the last ones match the table."""
    deadline = time.monotonic() + WITHIN_S

    def says_so() -> bool:
        return all(_says(callers, column, ROWS[row][column], since) for column in COLUMNS)

    while time.monotonic() < deadline:
        enough = time.monotonic() - since >= observed_s
        update = (
            _last_answer(one.since(since), one.column, ROWS[row][one.column]) for one in callers.requests
        )
        if enough and all(len(answers) >= LEAST for answers in update) and says_so():
            return
        time.sleep(0.1)
