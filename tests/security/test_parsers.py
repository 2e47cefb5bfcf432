"""Whatever arrives, a parser raises nothing but the errors that it names.

Green Button files have theirs: tests/property/telemetry/test_green_button.py.
"""

from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.bms.codec import DeclaredFault, SoapCodec
from adapters.bms.messages import TWO_PHASE, InvalidMessage
from adapters.mqtt.incoming import Incoming
from adapters.mqtt.packets import MqttProtocolError, Version
from adapters.readings_file import open_readings_file
from adapters.weather.bounded_get import HttpResponse
from adapters.weather.weatherapi_responses import decode_response
from application.facility.portfolio_validation import (
    STRICTEST_RULES,
    PortfolioInvalid,
    check_references,
    read_portfolio,
)
from application.history_import.importer import check_import
from application.ports.dispatch.building_control import CommandReceipt, Setpoint
from application.ports.history_import import ReadingsFileError
from application.ports.weather.source import WeatherUnavailable
from application.telemetry.ingest.message_parser import parse_message
from interfaces.simulators.bms import two_phase_messages
from tests.sizes import examples

VERSIONS: tuple[Version, ...] = ("3.1.1", "5")
FEW = settings(max_examples=examples(60))
SOAP = SoapCodec(TWO_PHASE)
ANSWER = two_phase_messages.receipt_answer(
    CommandReceipt(
        command_id=UUID(int=1),
        zone_id="hall",
        phase="commit",
        executed_at=datetime(2026, 7, 14, tzinfo=UTC),
        setpoint=Setpoint(value=22.0, unit="celsius"),
        repeated=False,
    )
)
METER_MESSAGE = (
    b'[{"schema":"1","ts":"2026-07-14T00:00:00Z","kw":12.5,"kwh_total":100.0,"seq":7,"quality":"measured"}]'
)
PORTFOLIO = b"""
utilities: [{utility_id: util-1}]
programs: [{program_id: summer, utility_id: util-1}]
facilities:
  - {facility_id: fac-001, tz: Europe/London, meters: [{meter_id: m1}], zones: [{zone_id: z1, curtailable_kw: 10}],
     bms: {address: "http://127.0.0.1:1/bms"}, programs: [summer]}
"""
FORECAST = b"""{"location": {"tz_id": "Europe/London"}, "current": {"last_updated_epoch": 1784030400},
"forecast": {"forecastday": [{"date": "2026-07-14", "hour": [{"time_epoch": 1784030400, "temp_c": 21.5}]}]}}"""
CSV = b"facility,timestamp,load_kwh,temp_c\na,2026-07-14T00:00:00Z,1.5,20\na,2026-07-14T00:15:00Z,2.5,\n"


def _parquet() -> bytes:
    table = pa.table(
        {
            "facility": ["a", "a"],
            "timestamp": ["2026-07-14T00:00:00Z", "2026-07-14T00:15:00Z"],
            "load_kwh": [1.0, 2.0],
        }
    )
    written = BytesIO()
    pq.write_table(table, written, compression="none")  # damage reaches the texts
    return written.getvalue()


PARQUET = _parquet()
ODD = st.binary(max_size=8) | st.sampled_from(
    [
        b"\xff",
        b"\0",
        b"9" * 400,
        b"-1e400",
        b"NaN",
        b"<",
        b"&x;",
        b"[" * 2_000,
        b"{",
        b'"',
        b"\xed\xa0\x80",
        b"2026-13-45",
    ]
)


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """`whole` with one part replaced, or anything else."""
    cut = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 40), ODD)
    return st.binary(max_size=120) | cut.map(lambda c: whole[: c[0]] + c[2] + whole[c[0] + c[1] :])


@FEW
@given(damaged(ANSWER))
@example(ANSWER)
def test_an_answer_of_a_bms_is_parsed_or_refused(payload: bytes) -> None:
    with suppress(InvalidMessage, DeclaredFault):
        SOAP.decode("CommitCommand", payload)


@FEW
@given(damaged(METER_MESSAGE))
@example(METER_MESSAGE)
def test_a_message_of_a_meter_is_parsed_or_malformed(payload: bytes) -> None:
    found = parse_message("meters/fac-001/m1/readings", payload, now=datetime(2026, 7, 14, tzinfo=UTC))
    assert found.readings or found.malformed


@FEW
@given(st.binary(max_size=300))
@example(b"\x32\x00")
@example(b"\x30\x02\xff\xff")
def test_bytes_of_a_broker_are_packets_or_end_the_connection(stream: bytes) -> None:
    for version in VERSIONS:
        incoming = Incoming(version)
        incoming.feed(stream)
        with suppress(MqttProtocolError, IndexError):  # `Connection` ends the connection at either
            assert len(list(incoming.packets())) <= len(stream)


@FEW
@given(damaged(FORECAST), st.sampled_from([200, 400, 403, 500]))
@example(FORECAST, 200)
@example(b'{"error": {"code": 2006}}', 403)
def test_an_answer_of_the_weather_service_is_parsed_or_refused(body: bytes, status: int) -> None:
    with suppress(WeatherUnavailable):
        decode_response(HttpResponse(status=status, body=body))


@FEW
@given(damaged(PORTFOLIO))
@example(PORTFOLIO)
@example(b"a: &a [*a]")
@example(b"[" * 100_000)
def test_a_portfolio_is_parsed_or_refused(content: bytes) -> None:
    with suppress(PortfolioInvalid):
        check_references(
            read_portfolio(content), known_utilities=(), known_programs={}, rules=STRICTEST_RULES
        )


def _import(name: str, content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        with suppress(ReadingsFileError), open_readings_file(path).ordered(None) as ordered:
            check_import(ordered)


@FEW
@given(damaged(CSV))
@example(CSV)
def test_history_as_csv_is_parsed_or_refused(content: bytes) -> None:
    _import("load.csv", content)


@FEW
@given(damaged(PARQUET))
@example(PARQUET)
@example(PARQUET.replace(b"2026-07-14T00:15:00Z", b"2026-07-14T00:15:00\xff"))
def test_history_as_parquet_is_parsed_or_refused(content: bytes) -> None:
    _import("load.parquet", content)
