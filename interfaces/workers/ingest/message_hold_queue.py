"""MessageHoldQueue: messages of meters that the portfolio, as last read, does not list."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from application.ports.telemetry.meter_feed import Confirm, MeterMessage
from application.telemetry.ingest.message_parser import ParsedMessage
from application.telemetry.ingest.meter_admission import MeterAdmission
from interfaces.workers.loops.periodic import PeriodicCheck

GRACE_S = 1.0
"""Wall seconds for the read model to show a meter that was just listed. Shorter than the 2 s after which the broker
sends an unacknowledged message again."""
GRACE_EVERY_S = 10.0
"""Acknowledgements keep the order of arrival, so a message that waits delays those behind it. Whoever sends readings of
invented meters without end may delay the others for one second in ten, and not always."""
MAX_MESSAGES, MAX_BYTES = 1_000, 8_000_000
_ROUND_S = 0.25
_RELOAD_S = 1.0
_RELOAD_SHARE = 0.05
"""The portfolio is read as a whole for at most this share of the time."""


class HeldMessage(NamedTuple):
    message: MeterMessage
    parsed: ParsedMessage
    """With at least one reading."""
    confirm: Confirm


class MessageHoldQueue:
    """Holds messages until the portfolio was read again; `decide`, which raises nothing, then gets each.

    While the portfolio cannot be read, what was read last decides.
    """

    def __init__(self, admission: MeterAdmission, decide: Callable[[HeldMessage], None]) -> None:
        self._admission = admission
        self._decide = decide
        self._waiting: list[HeldMessage] = []
        self._bytes = 0
        self._to_read: set[str] = set()
        """Facilities of which an unlisted meter sent."""
        self._grace_ends = self._next_grace_at = self._next_reload_at = 0.0

    def put(self, message: MeterMessage, parsed: ParsedMessage, confirm: Confirm) -> bool:
        """False where the message cannot wait: it is to be decided now."""
        if len(self._to_read) < MAX_MESSAGES:
            self._to_read.add(parsed.facility_id)
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._next_grace_at:
            self._grace_ends, self._next_grace_at = now_s + GRACE_S, now_s + GRACE_EVERY_S
            # By a timer, because a read of a database that is away takes longer.
            asyncio.get_running_loop().call_at(self._grace_ends, partial(self._decide_some, is_over=True))
        is_full = len(self._waiting) >= MAX_MESSAGES or self._bytes + len(message.payload) > MAX_BYTES
        if now_s >= self._grace_ends or is_full:
            return False
        self._waiting.append(HeldMessage(message, parsed, confirm))
        self._bytes += len(message.payload)
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Keep what is known of the portfolio up to date until `stop`. Messages that are held then stay unacknowledged,
        and are sent again."""
        await PeriodicCheck("listed meters", self._round, every_s=_ROUND_S, retry_s=_RELOAD_S).run(stop)

    async def _round(self) -> None:
        loop = asyncio.get_running_loop()
        if self._to_read:
            to_read, self._to_read = self._to_read, set()
            await self._admission.reload_some(to_read)
        if loop.time() >= self._next_reload_at:
            read_s = await self._admission.reload()
            self._next_reload_at = loop.time() + max(_RELOAD_S, read_s / _RELOAD_SHARE)
        self._decide_some(is_over=False)

    def _decide_some(self, *, is_over: bool) -> None:
        """Decide those whose meters are listed by now; every one where the time to wait `is_over`."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        for one in waiting:
            if is_over or self._is_listed(one):
                self._decide(one)
            else:
                self._to_read.add(one.parsed.facility_id)
                self._waiting.append(one)
                self._bytes += len(one.message.payload)

    def _is_listed(self, one: HeldMessage) -> bool:
        """True also of one that cannot be compared: to `decide` it is like every other that fails."""
        try:
            return not self._admission.unknown_meters(one.parsed)
        except Exception:  # noqa: BLE001 - it must not end the loop over those behind it
            return True
