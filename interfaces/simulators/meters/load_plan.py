"""The load plan of many simulated meters: a few numbers determine every message, so a store can be audited exactly."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from application.ports.telemetry.reading_counts import MeterSeqs, QuarterHourCounts, StoredReadings

METERS_PER_FACILITY = 10
"""For single meters; with gateways the number is rounded to whole gateways."""


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`meters` meters together send `rate_per_s` readings a second; a gateway sends for `gateway` meters at a time.

    Message `n` comes from sender `n % senders` in round `n // senders`, which is the seq of its readings; it is
    due at `started_at` plus n / messages a second, and so is its `ts` (to the millisecond). `run` is the prefix of each
    facility id, which separates the readings of a run from all others in a store.
    """

    run: str
    meters: int
    rate_per_s: float
    started_at: datetime
    gateway: int = 1

    @property
    def senders(self) -> int:
        """The number of senders: the meters themselves, or gateways."""
        return -(-self.meters // self.gateway)

    @property
    def messages_per_s(self) -> float:
        return self.rate_per_s * self.senders / self.meters

    def meters_of(self, sender: int) -> range:
        """The numbers of the meters that `sender` sends for."""
        return range(sender * self.gateway, min((sender + 1) * self.gateway, self.meters))

    def readings_in(self, messages: int) -> int:
        """The number of readings in the first `messages` messages."""
        rounds, rest = divmod(messages, self.senders)
        return rounds * self.meters + min(rest * self.gateway, self.meters)

    def rounds_of(self, meter: int, messages: int) -> int:
        """The number of readings of `meter` in the first `messages` messages: seqs 0 .. n-1."""
        rounds, rest = divmod(messages, self.senders)
        return rounds + (meter // self.gateway < rest)

    def named(self, meter: int) -> tuple[str, str]:
        """The (facility id, meter id) of a meter's number."""
        if self.gateway == 1:
            # The meters of one facility send at different times, evenly spread over a round.
            facilities = -(-self.meters // METERS_PER_FACILITY)
            ten, place = divmod(meter, METERS_PER_FACILITY)
            facility = (ten + place * facilities // METERS_PER_FACILITY) % facilities
        else:
            facility = meter // (-(-METERS_PER_FACILITY // self.gateway) * self.gateway)
        return f"{self.run}-{facility:06}", f"m{meter:07}"

    def listed_meters(self) -> dict[str, list[str]]:
        """Facility -> its meters, as a portfolio lists them."""
        listed: dict[str, list[str]] = {}
        for number in range(self.meters):
            facility_id, meter_id = self.named(number)
            listed.setdefault(facility_id, []).append(meter_id)
        return listed

    def numbered(self, facility_id: str, meter_id: str) -> int | None:
        """The inverse of `named`; None for names of other runs."""
        try:
            meter = int(meter_id.removeprefix("m"))
        except ValueError:
            return None
        return meter if 0 <= meter < self.meters and self.named(meter) == (facility_id, meter_id) else None

    def ts_of(self, message: int) -> datetime:
        """The `ts` of a message: UTC, to the millisecond."""
        at = self.started_at + timedelta(seconds=message / self.messages_per_s)
        return at.replace(microsecond=at.microsecond // 1000 * 1000)

    def kw_of(self, meter: int) -> float:
        """The load of a meter. It is constant, so every mean can be computed in advance."""
        return 10.0 + meter % 50

    def message(self, number: int) -> tuple[bytes, bytes]:
        """(topic, payload) of message `number`."""
        seq, sender = divmod(number, self.senders)
        meters = self.meters_of(sender)
        ts = self.ts_of(number).isoformat(timespec="milliseconds")[:-6].encode()
        facility, first = self.named(meters[0])
        topic = f"meters/{facility}/{first}/readings".encode()
        if self.gateway == 1:
            return topic, b"{" + self._fields(meters[0], seq, ts) + b"}"
        items = [b'{"meter_id":"m%07d",' % meter + self._fields(meter, seq, ts) + b"}" for meter in meters]
        return topic, b"[" + b",".join(items) + b"]"

    def _fields(self, meter: int, seq: int, ts: bytes) -> bytes:
        kw = self.kw_of(meter)
        kwh = seq * kw * self.meters / self.rate_per_s / 3600.0
        return b'"schema":1,"ts":"%bZ","seq":%d,"kw":%.1f,"kwh_total":%.4f' % (ts, seq, kw, kwh)


class LoadAudit(msgspec.Struct, frozen=True, kw_only=True):
    """The result of auditing the readings of a run."""

    sent: int
    stored: int
    """Distinct readings that were sent."""
    lost: int
    duplicated: int
    """Stored twice or counted twice."""
    stored_twice: int
    """Rows beyond the first for one reading; duplicates in a quarter-hour that is not finalized do not count."""
    counted_twice: int
    """Readings that rollups count beyond one for each moment of a meter."""
    foreign: int
    """Unexpected rows: of another meter, or with a seq that was not sent."""

    @property
    def is_exact(self) -> bool:
        return self.lost == self.duplicated == self.foreign == 0


def audit(plan: LoadPlan, messages: int, stored: StoredReadings) -> LoadAudit:
    """Compare the first `messages` messages of `plan` with a store. Raises TelemetryStoreUnavailable."""
    stored_range = _range(plan, messages)
    return audited(plan, messages, stored.seqs(*stored_range), stored.rolled_up(*stored_range))


def missing(plan: LoadPlan, messages: int, stored: StoredReadings) -> int:
    """The number of readings that the store does not hold yet; for polling. Raises as `audit`."""
    return audited(plan, messages, stored.seqs(*_range(plan, messages)), ()).lost


def _range(plan: LoadPlan, messages: int) -> tuple[str, datetime, datetime]:
    until = plan.ts_of(max(messages - 1, 0))
    return f"{plan.run}-", plan.started_at - timedelta(seconds=1), until


def audited(
    plan: LoadPlan, messages: int, found: Iterable[MeterSeqs], rolled_up: Iterable[QuarterHourCounts]
) -> LoadAudit:
    """Compare the first `messages` messages of `plan` with a store's readings and counts per meter."""
    sent = plan.readings_in(messages)
    stored = stored_twice = foreign = 0
    for seqs in found:
        meter = plan.numbered(seqs.facility_id, seqs.meter_id)
        rounds = 0 if meter is None else plan.rounds_of(meter, messages)
        if rounds == 0 or seqs.lowest_seq < 0 or seqs.highest_seq >= rounds:
            foreign += seqs.rows
            continue
        stored += seqs.distinct_seqs
        stored_twice += seqs.rows - seqs.distinct_seqs
    counted_twice = sum(max(0, one.counted - one.moments) for one in rolled_up)
    return LoadAudit(
        sent=sent,
        stored=stored,
        lost=sent - stored,
        duplicated=stored_twice + counted_twice,
        stored_twice=stored_twice,
        counted_twice=counted_twice,
        foreign=foreign,
    )


def new_run(now: datetime) -> str:
    """A run name derived from `now`, unique per second."""
    return f"load{int(now.astimezone(UTC).timestamp()):x}"
