"""Corrections that a meter may send for its own readings."""

from datetime import UTC, datetime

import msgspec
import pytest

from application.telemetry.ingest.batch_codec import unpack
from application.telemetry.ingest.message_parser import parse_message
from domain.telemetry.meter_reading import MeterReading

NOW = datetime(2026, 7, 14, tzinfo=UTC)


def said(**fields: object) -> MeterReading:
    body = msgspec.json.encode({"ts": "2026-07-14T00:00:00Z", **fields})
    (reading,) = parse_message("meters/fac-001/m1/readings", body, now=NOW).readings
    return reading


def test_a_reading_of_quality_missing_needs_no_value() -> None:
    assert said(quality="MISSING").kw is None
    refused = parse_message("meters/fac-001/m1/readings", b'{"ts": "2026-07-14T00:00:00Z"}', now=NOW)
    assert (len(refused.readings), len(refused.malformed)) == (0, 1)


@pytest.mark.parametrize(("given", "kept"), [(3, 3), (2**40, 2**31 - 1), (None, 0)])
def test_a_valid_revision_is_stored(given: object, kept: int) -> None:
    assert said(kw=1.0, kwh_total=2.0, revision=given).revision == kept


def test_a_reading_packed_by_the_previous_release_has_revision_0() -> None:
    old = msgspec.msgpack.encode(
        {"received_at": NOW, "readings": [["f", "m", NOW, 1.0, None, 1, "measured", False, None]]}
    )
    assert unpack(old).readings[0].revision == 0
