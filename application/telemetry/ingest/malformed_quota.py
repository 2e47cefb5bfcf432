"""Quota for malformed messages: how much is stored in full, per facility and in total (ADR 0069).

Readings and malformed messages share the telemetry log, and malformed messages go on to the dead letters
permanently. Without a limit, one facility's malformed messages could fill either, and no readings would be
accepted.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from application.access.token_bucket import Allowance, SharedBuckets
from application.telemetry.ingest.malformed_rate import MAX_FACILITIES
from application.telemetry.ingest.message_parser import MalformedReading

_ENTRY_BYTES = 96
"""The cost of a message beside its own bytes."""


OF_A_FACILITY = Allowance(16e6, 64e3)
OF_ALL = Allowance(128e6, 512e3)
"""Over ten minutes without a store this is less than half of a log of 1 GiB."""


class _OmittedMessages(msgspec.Struct):
    """Unreported omitted messages of one facility."""

    topic: str
    """The topic of the last of them."""
    messages: int = 0
    size: int = 0


class MalformedBudget:
    """The quota of one process. `now_s` is monotonic wall time, since it is about disk space."""

    def __init__(self, of_a_facility: Allowance = OF_A_FACILITY, of_all: Allowance = OF_ALL) -> None:
        self._of_a_facility = of_a_facility
        self._buckets = SharedBuckets("malformed quotas", of_all)
        self._omitted: dict[str, _OmittedMessages] = {}

    def keeps(self, facility_id: str, malformed: Sequence[MalformedReading], *, now_s: float) -> bool:
        """True if the malformed parts of one message are stored. The others are counted, and reported by `omitted`."""
        size = sum(_ENTRY_BYTES + len(one.topic) + len(one.reason) + len(one.body) for one in malformed)
        if self._buckets.takes(facility_id, size, self._of_a_facility, now_s=now_s):
            return True
        self._omit(facility_id, malformed[-1].topic, len(malformed), size)
        return False

    def _omit(self, facility_id: str, topic: str, messages: int, size: int) -> None:
        if facility_id not in self._omitted and len(self._omitted) >= MAX_FACILITIES:
            facility_id = next(iter(self._omitted))  # still counted, under another facility
        omitted = self._omitted.setdefault(facility_id, _OmittedMessages(topic))
        omitted.topic = topic
        omitted.messages += messages
        omitted.size += size

    def omitted(self, *, at: datetime) -> list[MalformedReading]:
        """For each facility one entry that stands for its omitted messages since the last call; `at` is the
        clock's time."""
        omitted_by_facility, self._omitted = self._omitted, {}
        return [
            MalformedReading(
                omitted.topic,
                f"{omitted.messages} more malformed messages of this facility were not kept: "
                "they came faster than they can be kept",
                msgspec.json.encode(
                    {
                        "omitted_messages": omitted.messages,
                        "omitted_bytes": omitted.size,
                        "until": at.isoformat(),
                    }
                ),
            )
            for omitted in omitted_by_facility.values()
        ]
