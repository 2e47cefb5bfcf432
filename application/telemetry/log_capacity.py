"""How large the telemetry log has to be: the days that it keeps, times the meters of the portfolio."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from domain.telemetry.meter_reading import PARTITIONS

READING_BYTES = 90
"""One reading in a large pack, with its message, of a meter that sends alone. Gateways of ten take half of it."""
PACK_BYTES = 400
"""What each message of the log takes besides: headers, the record on disk, what is in a pack once."""
MOST_PACKS_A_DAY = PARTITIONS * 10 * 86_400
"""Ingest closes the pack of each partition after 0.1 s."""
READINGS_A_DAY = 86_400 // 15
FULL_SHARE = 0.7
"""Above this share of its limit the archive worker trims what is not yet old, so the readings have to fit below it."""
LEAST_BYTES = 1 << 30
"""For what is not readings: malformed messages and originals take at most 870 MB in ten minutes (ADR 0069 and 0025)."""
METERS_WHERE_NONE_ARE_LISTED = 10
STEP_BYTES = 256 << 20
"""A limit is a multiple of it, so that it does not change with each meter."""


@dataclass(frozen=True, kw_only=True)
class LogCapacity:
    """The capacity that `days` of `meters` that send every 15 s take."""

    meters: int
    days: int

    @classmethod
    def of(cls, listing: Mapping[str, Collection[str]], days: int) -> LogCapacity:
        """`listing`: facility -> its meters; one that lists none counts as METERS_WHERE_NONE_ARE_LISTED."""
        meters = sum(len(listed) or METERS_WHERE_NONE_ARE_LISTED for listed in listing.values())
        return cls(meters=meters, days=days)

    @property
    def bytes_a_day(self) -> int:
        """Where the meters send evenly spread over the 15 s, which takes most: then there are most packs."""
        return self.meters * READINGS_A_DAY * READING_BYTES + self.packs_a_day * PACK_BYTES

    @property
    def packs_a_day(self) -> int:
        """Messages of the log."""
        return min(self.meters * READINGS_A_DAY, MOST_PACKS_A_DAY)

    @property
    def reading_bytes(self) -> int:
        return self.days * self.bytes_a_day

    @property
    def limit_bytes(self) -> int:
        """The limit of the log under which these days are kept."""
        wanted = LEAST_BYTES + int(self.reading_bytes / FULL_SHARE)
        return -(-wanted // STEP_BYTES) * STEP_BYTES

    def days_within(self, limit_bytes: int) -> float:
        """The days that a log of `limit_bytes` keeps while nobody floods it, at most those wanted."""
        if self.bytes_a_day == 0:
            return float(self.days)
        return min(float(self.days), FULL_SHARE * limit_bytes / self.bytes_a_day)

    def misfits(self, limit_bytes: int, free_bytes: int | None = None) -> list[str]:
        """The limits that do not fit, in sentences. `free_bytes`: what its disk has for the log, used by it or free;
        None: not known."""
        wanted = f"{self.days} days of {self.meters:,} meters take {_gb(self.reading_bytes)}"
        found = []
        if self.days_within(limit_bytes) < self.days:
            found.append(
                f"the telemetry log may take {_gb(limit_bytes)}, which keeps about "
                f"{self.days_within(limit_bytes):.1f} days: {wanted}, with what else it holds {_gb(self.limit_bytes)}; "
                "raise GRIDPROOF_TELEMETRY_LOG_BYTES or leave it out, or lower GRIDPROOF_TELEMETRY_LOG_DAYS"
            )
        if free_bytes is not None and free_bytes < self.reading_bytes:
            found.append(
                f"its disk has {_gb(free_bytes)} for the telemetry log: {wanted}; enlarge the disk, or lower "
                "GRIDPROOF_TELEMETRY_LOG_DAYS"
            )
        return found


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
