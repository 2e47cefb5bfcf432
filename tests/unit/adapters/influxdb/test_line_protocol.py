"""Line protocol and InfluxQL: any text stays one text."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.influxdb.influxql import QueryRefused, in_chunks, is_one_of, name, read_response, select, text
from adapters.influxdb.line_protocol import FieldValue, Unstorable, line, microseconds, moment_of, tag


@pytest.mark.parametrize("bad", ["", "a\nb", "a\0", "a\\", "\r"])
def test_a_text_that_is_not_a_valid_tag_is_refused(bad: str) -> None:
    with pytest.raises(Unstorable):
        tag(bad)


def test_values_have_their_types_and_none_is_omitted() -> None:
    fields: dict[str, FieldValue] = {
        "f": 1.0,
        "i": 3,
        "b": True,
        "s": 'a"b',
        "n": None,
        "x": float("nan"),
        "y": float("inf"),
    }
    assert line("m", {}, fields, 5) == 'm f=1.0,i=3i,b=true,s="a\\"b" 5'


def test_moments_are_exact_to_the_microsecond() -> None:
    at = datetime(2026, 7, 14, 10, 0, 0, 1, tzinfo=UTC)
    assert moment_of(microseconds(at)) == at
    assert microseconds(at + timedelta(microseconds=1)) - microseconds(at) == 1


def test_text_in_a_condition_is_quoted() -> None:
    evil = "a' OR 1=1; DROP DATABASE x --\\"
    assert text(evil) == "'a\\' OR 1=1; DROP DATABASE x --\\\\'"
    assert name('a"b') == '"a\\"b"'
    assert select("kw", "m", is_one_of("f", ["a", "b"]), by="f").endswith(
        "WHERE (f = 'a' OR f = 'b') GROUP BY f"
    )


def test_long_lists_are_split_into_chunks_without_duplicates() -> None:
    values = [f"f{n % 250}" for n in range(500)]
    bites = list(in_chunks(values))
    assert [len(bite) for bite in bites] == [100, 100, 50]
    assert sorted(value for bite in bites for value in bite) == sorted(set(values))


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": "database not found"}',
        b'{"results": [{"statement_id": 0}, {"error": "nope"}]}',
        b'{"results": [{"series": [], "partial": true}]}',
    ],
)
def test_an_error_anywhere_in_a_response_is_raised(body: bytes) -> None:
    with pytest.raises(QueryRefused):
        read_response(body)
