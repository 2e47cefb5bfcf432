"""Original messages in the raw archive: finding them, and decoding them again."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from application.raw_archive.archived_packs import RestoreSelection
from application.raw_archive.decode_again import DecodeAgainReport, decode_again
from application.raw_archive.original_messages import OriginalsReport, find_originals
from application.raw_archive.restore import restore
from application.raw_archive.verification import verify_archive
from application.raw_archive.writer import PartitionArchiver
from application.telemetry.ingest.batch_codec import ReadingBatch, pack
from application.telemetry.ingest.message_parser import parse_message
from application.telemetry.ingest.original_payloads import ReceivedPayload, pack_payloads
from domain.telemetry.meter_reading import MeterReading, partition_of
from tests.fakes.archive import FakeArchive
from tests.fakes.clock import FakeClock
from tests.fakes.raw_archive.telemetry_log import FakeRawLog
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.fakes.telemetry.meter_readings import FakeMeterReadings
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)
TOPIC = "meters/fac-001/m1/readings"
EVERYTHING = RestoreSelection(starts_at=T0 - timedelta(days=1), ends_at=T0 + timedelta(days=1))


def message(after_s: int, kw: float = 10.0, **fields: Any) -> ReceivedPayload:
    at = T0 + timedelta(seconds=after_s)
    body = json.dumps({"ts": at.isoformat(), "kw": kw, "kwh_total": 1_000.0, **fields}, indent=1)
    return ReceivedPayload(TOPIC, at + timedelta(seconds=1), body.encode())


@dataclass
class Archived:
    """Packs as ingest makes them, archived and stored. `wrong` is what the decoder of then did to a reading."""

    log: FakeRawLog = field(default_factory=FakeRawLog)
    archive: FakeArchive = field(default_factory=FakeArchive)
    store: FakeTelemetryStore = field(default_factory=FakeTelemetryStore)
    meters: FakeListedMeters = field(default_factory=lambda: FakeListedMeters({"fac-001": {"m1"}}))

    def add(
        self,
        *messages: ReceivedPayload,
        wrong: Any = lambda reading: reading,
        without: bool = False,
        kept: int | None = None,
    ) -> None:
        """`kept`: so many of the messages are stored as they were sent; None: all."""
        read = [
            reading
            for one in messages
            for reading in parse_message(one.topic, one.payload, now=one.received_at).readings
            if reading.meter_id == "m1"
        ]
        decoded = [one for one in map(wrong, read) if one is not None]
        batch = ReadingBatch(
            received_at=messages[0].received_at,
            readings=decoded,
            originals=None if without else pack_payloads(messages[:kept]),
        )
        partition = partition_of("fac-001")
        self.log.append(partition, pack(batch), at=messages[0].received_at)
        self.store.write_readings(partition, 1, decoded)
        asyncio.run(self._archive(partition))

    async def _archive(self, partition: int) -> None:
        archiver = PartitionArchiver(self.log, self.archive, log_id=self.log.id, partition=partition)
        await archiver.open()
        while await archiver.archive_next() is not None:
            pass

    def decode_again(self, *, dry_run: bool = False) -> DecodeAgainReport:
        return decode_again(
            self.archive,
            self.store,
            FakeMeterReadings(self.store),
            self.meters.among,
            EVERYTHING,
            rollups=FakeTelemetryRollups(self.store, FakeClock(T0 + timedelta(days=1))),
            dry_run=dry_run,
        )

    def find(self, after_s: int, within_s: int = 15, meter_id: str = "m1") -> OriginalsReport:
        starts_at = T0 + timedelta(seconds=after_s)
        return find_originals(
            self.archive, "fac-001", meter_id, starts_at, starts_at + timedelta(seconds=within_s)
        )

    def stored(self) -> dict[int, tuple[float | None, int, str | None]]:
        """Seconds after T0 -> (kW, revision, extra)."""
        return {
            int((one.ts - T0).total_seconds()): (one.kw, one.revision, one.extra)
            for one in self.store.readings.values()
        }


def tenfold(reading: MeterReading) -> MeterReading:
    """A decoder that took the kW for deciwatts."""
    return MeterReading(
        reading.facility_id, reading.meter_id, reading.ts, (reading.kw or 0.0) * 10, reading.kwh_total
    )


def test_the_original_of_a_meter_and_time_is_returned_byte_for_byte() -> None:
    there = Archived()
    there.add(message(0), message(15, 11.0), message(30))
    [found] = there.find(15).messages
    assert (found.payload, found.topic) == (message(15, 11.0).payload, TOPIC)
    assert found.sha256 == sha256(found.payload).hexdigest()
    assert [one.kw for one in found.decoded] == [11.0]
    assert found.received_at == T0 + timedelta(seconds=16)
    assert there.find(15, meter_id="m2").messages == there.find(7_200).messages == ()


def test_a_pack_of_an_earlier_release_has_none_and_is_counted() -> None:
    there = Archived()
    there.add(message(0), without=True)
    assert there.find(0) == OriginalsReport(messages=(), packs_without=1)


def test_what_the_decoder_read_wrongly_is_corrected_once() -> None:
    there = Archived()
    there.add(message(0), message(15), wrong=tenfold)
    assert there.stored() == {0: (100.0, 0, None), 15: (100.0, 0, None)}
    assert there.decode_again(dry_run=True).corrected == 2
    assert there.stored()[0] == (100.0, 0, None)
    report = there.decode_again()
    assert (report.messages, report.readings, report.differing, report.corrected) == (2, 2, 2, 2)
    assert there.stored() == dict.fromkeys((0, 15), (10.0, 1, '{"decoded_again":1}'))
    again = there.decode_again()
    assert (again.differing, again.corrected, again.repaired_before) == (2, 0, 2)


def test_a_restore_afterwards_does_not_bring_the_error_back() -> None:
    there = Archived()
    there.add(message(0), wrong=tenfold)
    there.decode_again()
    restore(there.archive, there.store, EVERYTHING)
    assert there.stored()[0][0] == 10.0


def test_where_nothing_was_wrong_nothing_changes() -> None:
    there = Archived()
    there.add(message(0), message(15, quality="estimated", firmware="7"))
    before = there.stored()
    report = there.decode_again()
    assert (report.readings, report.differing, report.corrected) == (2, 0, 0)
    assert there.stored() == before


def test_a_reading_that_its_meter_corrected_is_left_as_it_is() -> None:
    there = Archived()
    there.add(message(0), wrong=tenfold)
    there.store.write_readings(0, 1, [MeterReading("fac-001", "m1", T0, 7.0, None, revision=3)])
    report = there.decode_again()
    assert (report.corrected, report.replaced) == (0, 1)
    assert there.stored()[0] == (7.0, 3, None)


def test_a_second_repair_replaces_the_first(monkeypatch: Any) -> None:
    there = Archived()
    there.add(message(0, 10.0), wrong=tenfold)
    there.decode_again()
    better = parse_message

    def fixed(topic: str, payload: bytes, **given: Any) -> Any:
        return better(topic, payload.replace(b"10.0", b"12.0"), **given)

    monkeypatch.setattr("application.raw_archive.decode_again.parse_message", fixed)
    assert there.decode_again().corrected == 1
    assert there.stored()[0] == (12.0, 2, '{"decoded_again":2}')


def test_readings_that_were_not_read_then_are_added_if_their_meter_is_listed() -> None:
    there = Archived()
    there.add(message(0), message(15), wrong=lambda one: one if one.ts == T0 else None)
    there.add(message(30), message(45, meter_id="unlisted"))
    report = there.decode_again()
    assert (report.differing, report.corrected, report.replaced) == (2, 1, 1)
    assert sorted(there.stored()) == [0, 15, 30]


def test_packs_without_originals_are_counted_and_not_changed() -> None:
    there = Archived()
    there.add(message(0), wrong=tenfold, without=True)
    report = there.decode_again()
    assert (report.without_originals, report.corrected) == (1, 0)


def test_a_correction_without_its_message_is_not_replaced_by_the_reading_before() -> None:
    there = Archived()
    there.add(message(0), message(0, 12.0, revision=1), kept=1)
    assert there.stored()[0][:2] == (12.0, 1)
    report = there.decode_again()
    assert (report.messages, report.differing, report.not_decoded) == (1, 0, 1)
    assert there.stored()[0][:2] == (12.0, 1)


def test_of_a_meter_that_contradicts_itself_the_reading_that_counts_stays_without_its_message() -> None:
    there = Archived()
    there.add(message(0, seq=1), message(0, 12.0, seq=2), kept=1)
    there.add(message(15, 12.0), message(15), kept=1)
    before = there.stored()
    report = there.decode_again()
    assert (report.messages, report.differing, report.not_decoded) == (2, 0, 2)
    assert there.stored() == before


def test_a_message_that_came_twice_is_decoded_again_from_one_copy() -> None:
    there = Archived()
    there.add(message(0), message(0), wrong=tenfold, kept=1)
    assert there.decode_again().corrected == 1
    assert there.stored()[0][0] == 10.0


def test_the_archive_verifies_with_originals_in_it() -> None:
    there = Archived()
    there.add(message(0))
    assert verify_archive(there.archive).verified
    [name] = there.archive.listed("telemetry/raw")
    there.archive.files[name] = there.archive.files[name][:-1]
    assert not verify_archive(there.archive).verified
